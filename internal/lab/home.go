package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// entry is a host in the configuration of clients.
type entry struct {
	name, address string
	port          int
	user          string
	identity      string // file
	key           ssh.PublicKey
	ca            bool // key is an authority's
}

// knownHost is the entry's line in known_hosts.
func (e *entry) knownHost() string {
	address := e.address
	if e.port != 22 {
		address = "[" + address + "]:" + strconv.Itoa(e.port)
	}
	line := address + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(e.key))) + "\n"
	if e.ca {
		line = "@cert-authority " + line
	}
	return line
}

// ConfigFile makes home the home directory of a client that knows the servers,
// by Name: home/.ssh/config, whose path it returns, and home/.ssh/known_hosts.
// All paths in them are absolute, so that `ssh -F` reads the file as well as a
// client whose HOME home is. Files that are there are replaced.
func ConfigFile(home string, servers ...*Server) (string, error) {
	entries := make([]entry, len(servers))
	for i, s := range servers {
		entries[i] = entry{
			name: s.Name(), address: "127.0.0.1", port: s.Port(), user: "lab", identity: s.IdentityFile(), key: s.HostKey(),
		}
		if s.opts.HostCA != nil {
			entries[i].key, entries[i].ca = s.opts.HostCA.PublicKey(), true
		}
	}
	return writeHome(home, entries)
}

// ConfigFile is ConfigFile for s alone.
func (s *Server) ConfigFile(home string) (string, error) { return ConfigFile(home, s) }

// writeHome writes the files of a client.
func writeHome(home string, entries []entry) (string, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return "", fmt.Errorf("write an ssh configuration: %w", err)
	}
	dir := filepath.Join(home, ".ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("write an ssh configuration: %w", err)
	}
	known := filepath.Join(dir, "known_hosts")
	var config, keys strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&config, "Host %s\n", e.name)
		fmt.Fprintf(&config, "    HostName %s\n    Port %d\n    User %s\n", e.address, e.port, e.user)
		fmt.Fprintf(&config, "    IdentityFile \"%s\"\n    IdentitiesOnly yes\n", e.identity)
		fmt.Fprintf(&config, "    UserKnownHostsFile \"%s\"\n\n", known)
		keys.WriteString(e.knownHost())
	}
	path := filepath.Join(dir, "config")
	for name, text := range map[string]string{path: config.String(), known: keys.String()} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write an ssh configuration: %w", err)
		}
	}
	return path, nil
}
