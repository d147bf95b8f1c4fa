package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Host is a host of a lab. Any goroutine may call its methods. Its fields are
// not to be changed.
type Host struct {
	Name    string // as in the client's .ssh/config
	Address netip.Addr
	Gateway netip.Addr // this machine's address on the link
	Port    int
	// Dir has the host's files: sshd_config, sshd.log, keys. Home in it is
	// root's home directory for those who log in.
	Dir, Home string
	// Namespace is the host's network namespace, for `ip -n` and `nft`, and Link
	// its end of the link.
	Namespace, Link string

	opts  HostOptions
	outer string // this machine's end of the link

	// mu guards what follows, and makes StartSSHD and KillSSHD wait for each other.
	mu       sync.Mutex
	identity ssh.PublicKey
	sshd     *daemon  // nil while none runs
	shuttle  *shuttle // nil for a veth pair
}

func newHost(l *Lab, i int, opts HostOptions) *Host {
	name := "host" + strconv.Itoa(i+1)
	dir := filepath.Join(l.dir, name)
	return &Host{
		Name: name, Port: 22, Dir: dir, Home: filepath.Join(dir, "home"),
		Namespace: l.name.namespace(i + 1), Link: l.name.link(i+1, "i"),
		opts: opts, outer: l.name.link(i+1, "o"),
	}
}

// connect makes the namespace and the link into it.
func (h *Host) connect(ctx context.Context) error {
	if _, err := run(ctx, "ip", "netns", "add", h.Namespace); err != nil {
		return err
	}
	if h.opts.Delay > 0 || h.opts.Jitter > 0 || h.opts.Loss > 0 {
		shuttle, err := startShuttle(h.outer, h.Namespace, h.Link, h.opts)
		if err != nil {
			return err
		}
		h.shuttle = shuttle
	} else if _, err := run(ctx, "ip", "link", "add", h.outer, "type", "veth",
		"peer", "name", h.Link, "netns", h.Namespace); err != nil {
		return err
	}
	commands := [][]string{
		// Nothing is sent that nobody asked for: it would use up random numbers.
		{"ip", "link", "set", h.outer, "addrgenmode", "none"},
		{"ip", "-n", h.Namespace, "link", "set", h.Link, "addrgenmode", "none"},
		{"ip", "addr", "add", h.Gateway.String() + "/30", "dev", h.outer},
		{"ip", "link", "set", h.outer, "up"},
		{"ip", "-n", h.Namespace, "addr", "add", h.Address.String() + "/30", "dev", h.Link},
		{"ip", "-n", h.Namespace, "link", "set", h.Link, "up"},
		{"ip", "-n", h.Namespace, "link", "set", "lo", "up"},
		{"ip", "-n", h.Namespace, "route", "add", network, "via", h.Gateway.String()}, // the other hosts
	}
	if h.opts.Rate > 0 {
		limit := []string{"root", "tbf", "rate", strconv.FormatInt(h.opts.Rate, 10) + "bit",
			"burst", "32kbit", "latency", "400ms"}
		commands = append(commands,
			append([]string{"tc", "qdisc", "add", "dev", h.outer}, limit...),
			append([]string{"tc", "-n", h.Namespace, "qdisc", "add", "dev", h.Link}, limit...))
	}
	for _, c := range commands {
		if _, err := run(ctx, c[0], c[1:]...); err != nil {
			return err
		}
	}
	// For this link alone, the machine is a router.
	return os.WriteFile(filepath.Join("/proc/sys/net/ipv4/conf", h.outer, "forwarding"), []byte("1\n"), 0o644)
}

// entry is the host in the client's configuration.
func (h *Host) entry() entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return entry{
		name: h.Name, address: h.Address.String(), port: h.Port, user: "root",
		identity: filepath.Join(filepath.Dir(h.Dir), "home", ".ssh", "id_ed25519"), key: h.identity,
	}
}

// Addr is the address and port of sshd.
func (h *Host) Addr() string { return net.JoinHostPort(h.Address.String(), strconv.Itoa(h.Port)) }

// KnownHost is the line of known_hosts, with its newline, for the host's key
// as it is now.
func (h *Host) KnownHost() string {
	e := h.entry()
	return e.knownHost()
}

// Exec runs a program in the host's network namespace, as root with this
// process's environment, and gives what it wrote to its stdout. The error has
// its stderr.
func (h *Host) Exec(ctx context.Context, args ...string) (string, error) {
	if len(args) == 0 {
		return "", errors.New("run a program on " + h.Name + ": which?")
	}
	return output(exec.CommandContext(ctx, args[0], args[1:]...), func(cmd *exec.Cmd) error {
		return inNamespace(h.Namespace, cmd.Start)
	})
}

// Cut takes the host's end of the link down, as if the cable were pulled. Who
// connects waits, or is told that there is no route to the host.
func (h *Host) Cut(ctx context.Context) error { return h.set(ctx, "down") }

// Heal ends what Cut began.
func (h *Host) Heal(ctx context.Context) error { return h.set(ctx, "up") }

func (h *Host) set(ctx context.Context, state string) error {
	if _, err := run(ctx, "ip", "-n", h.Namespace, "link", "set", h.Link, state); err != nil {
		return fmt.Errorf("take the link of %s %s: %w", h.Name, state, err)
	}
	return nil
}

// Blackhole has all packets to and from the host vanish without a word, or ends
// that.
func (h *Host) Blackhole(ctx context.Context, on bool) error {
	if h.shuttle != nil {
		h.shuttle.blackhole.Store(on)
		return nil
	}
	rules := "table inet blackhole {}\ndelete table inet blackhole\n" // no error if there is none
	if on {
		rules += "table inet blackhole {\n" +
			"chain in { type filter hook input priority 0; policy drop; }\n" +
			"chain out { type filter hook output priority 0; policy drop; }\n}\n"
	}
	if _, err := h.Exec(ctx, "nft", rules); err != nil {
		return fmt.Errorf("drop the packets of %s: %w", h.Name, err)
	}
	return nil
}

// close ends the host's processes, and takes its link and its namespace away.
func (h *Host) close(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sshd != nil {
		h.sshd.kill()
		h.sshd = nil
	}
	err := removeNamespace(ctx, h.Namespace)
	if h.shuttle != nil {
		h.shuttle.close()
		h.shuttle = nil
	} else if _, lookErr := net.InterfaceByName(h.outer); lookErr == nil {
		// The kernel takes it away with the namespace, but in its own time.
		if _, delErr := run(ctx, "ip", "link", "del", h.outer); delErr != nil {
			if _, lookErr := net.InterfaceByName(h.outer); lookErr == nil {
				err = errors.Join(err, delErr)
			}
		}
	}
	return err
}
