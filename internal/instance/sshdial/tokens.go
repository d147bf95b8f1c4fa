package sshdial

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// expandTilde puts a home directory for a leading ~ or ~user.
func expandTilde(path, home string) (string, error) {
	if !strings.HasPrefix(path, "~") {
		return path, nil
	}
	name, rest, _ := strings.Cut(path[1:], "/")
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return "", fmt.Errorf("expand %s: %w", path, err)
		}
		home = u.HomeDir
	}
	return filepath.Join(home, rest), nil
}

// expandTokens puts values for tokens such as %h; %% is a percent sign.
func expandTokens(s string, values map[byte]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", fmt.Errorf("expand %q: it ends in a single %%", s)
		}
		if s[i] == '%' {
			b.WriteByte('%')
			continue
		}
		value, ok := values[s[i]]
		if !ok {
			return "", fmt.Errorf("expand %q: %%%c stands for nothing here", s, s[i])
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// expandVariables puts values of the environment for ${NAME}.
func expandVariables(s string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, rest, closed := strings.Cut(rest, "}")
		if !closed || name == "" {
			return "", fmt.Errorf("expand %q: ${ has no name or no other end", s)
		}
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("expand ${%s}: there is no such variable in the environment", name)
		}
		b.WriteString(value)
		s = rest
	}
}

// checkName is an error if a host's or a user's name could be taken for
// something else: an option, or a piece of a shell command. OpenSSH refuses the
// same ones.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("it is empty")
	case name[0] == '-':
		return fmt.Errorf("%q begins with a dash, and could be taken for an option", name)
	case len(name) > 1024:
		return fmt.Errorf("%.40q... is %d bytes long", name, len(name))
	}
	for i, r := range name {
		if r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffd || strings.ContainsRune("'`\"$\\;&<>|(){}", r) {
			return fmt.Errorf("%q has a character at %d that no name has", name, i)
		}
	}
	return nil
}
