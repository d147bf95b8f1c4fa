package sshdial

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// askPatience is how long ssh may take to say what its configuration is: a
// Match line can have it run a command.
const askPatience = 20 * time.Second

// askSSH has ssh itself read a configuration with Match lines. match is one of
// them, for where there is no ssh.
func (r *resolver) askSSH(ctx context.Context, h hop, match *matchError) (*settings, error) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		return nil, match
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askPatience,
		fmt.Errorf("it has not answered within %v", askPatience))
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, r.askArgs(h)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 200 * time.Millisecond
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		said := strings.TrimSpace(stderr.String())
		if said != "" {
			err = errors.New(said)
		}
		return nil, fmt.Errorf("have `ssh -G` read %s, which has a Match line at %d: %w", match.file, match.line, err)
	}
	return readAnswer(stdout.Bytes())
}

// askArgs are ssh's arguments to ask for a hop.
func (r *resolver) askArgs(h hop) []string {
	args := []string{"-G"}
	switch own := filepath.Join(r.o.Home, ".ssh", "config"); {
	case r.o.ConfigFile != "":
		args = append(args, "-F", r.o.ConfigFile)
	case !r.realHome:
		args = append(args, "-F", own)
	}
	if h.user != "" {
		args = append(args, "-l", h.user)
	}
	if h.port != "" {
		args = append(args, "-p", h.port)
	}
	return append(args, "--", h.host)
}

// listed are the keywords whose values ssh -G writes side by side.
var listed = []string{"userknownhostsfile", "globalknownhostsfile"}

// readAnswer reads what ssh -G writes: a keyword and its value a line.
func readAnswer(text []byte) (*settings, error) {
	s := newSettings()
	s.expanded = true
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		keyword, value, _ := strings.Cut(lines.Text(), " ")
		if value == "" {
			continue
		}
		args := []string{value}
		if slices.Contains(listed, keyword) {
			args = strings.Fields(value)
		}
		s.set(keyword, args)
	}
	keys := s.lists["identityfile"]
	if len(keys) > 1 && !slices.ContainsFunc(keys, func(key string) bool { return !slices.Contains(askedKeys, key) }) {
		delete(s.lists, "identityfile")
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read what ssh -G says: %w", err)
	}
	return s, nil
}

// askedKeys are the key files that ssh -G names where the user names none.
var askedKeys = []string{
	"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519", "~/.ssh/id_ed25519_sk",
	"~/.ssh/id_xmss", "~/.ssh/id_dsa",
}
