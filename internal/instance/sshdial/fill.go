package sshdial

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"testr/internal/instance"
)

// fill gives t what the settings say.
func (r *resolver) fill(t *Target, s *settings, h hop) error {
	if err := t.fillPlace(s, h); err != nil {
		return err
	}
	t.knownAs = strings.ToLower(s.get("hostkeyalias", ""))
	tokens, err := t.tokens(r.o.Home)
	if err != nil {
		return err
	}
	path := func(text string) (string, error) {
		text, err := expandTokens(text, tokens)
		if err != nil {
			return "", err
		}
		if text, err = expandVariables(text); err != nil {
			return "", err
		}
		return expandTilde(text, r.o.Home) // last: home directories have names of all kinds
	}
	if err := t.fillKeys(s, path); err != nil {
		return err
	}
	if err := t.fillKnown(s, path); err != nil {
		return err
	}
	if command := s.get("proxycommand", "none"); !strings.EqualFold(command, "none") && !h.given {
		words := map[byte]string{'h': t.HostName, 'p': t.Port, 'r': t.User, 'n': t.Alias}
		for token, word := range words {
			words[token] = instance.Quote(word)
		}
		if t.command, err = expandTokens(command, words); err != nil {
			return fmt.Errorf("ProxyCommand: %w", err)
		}
		if strings.IndexByte(t.command, 0) >= 0 {
			return errors.New("ProxyCommand: has a NUL byte")
		}
		if s.yes("proxyusefdpass") {
			return errors.New("ProxyUseFdpass: only ssh itself can do that")
		}
	}
	return nil
}

// fillPlace gives t who and where it is.
func (t *Target) fillPlace(s *settings, h hop) error {
	var err error
	t.HostName = s.get("hostname", t.Alias)
	if !s.expanded {
		if t.HostName, err = expandTokens(t.HostName, map[byte]string{'h': t.Alias}); err != nil {
			return fmt.Errorf("HostName: %w", err)
		}
	}
	t.HostName = strings.ToLower(t.HostName)
	if err := checkHost(t.HostName); err != nil {
		return fmt.Errorf("HostName: %w", err)
	}
	if t.Port = h.port; t.Port == "" {
		t.Port = s.get("port", "22")
	}
	number, err := strconv.ParseUint(t.Port, 10, 16)
	if err != nil || number == 0 {
		return fmt.Errorf("port %q: is no number between 1 and 65535", t.Port)
	}
	t.Port = strconv.FormatUint(number, 10)
	if t.User = h.user; t.User == "" {
		t.User = s.get("user", "")
	}
	if t.User == "" {
		me, err := user.Current()
		if err != nil {
			return err
		}
		t.User = me.Username
	}
	if err := checkName(t.User); err != nil {
		return fmt.Errorf("user name: %w", err)
	}
	t.bind = s.get("bindaddress", "")
	switch family := strings.ToLower(s.get("addressfamily", "any")); family {
	case "any":
		t.network = "tcp"
	case "inet":
		t.network = "tcp4"
	case "inet6":
		t.network = "tcp6"
	default:
		return fmt.Errorf("AddressFamily %q: is none of any, inet and inet6", family)
	}
	if t.patience, err = parseTime("ConnectTimeout", s.get("connecttimeout", "none")); err != nil {
		return err
	}
	if t.patience == 0 { // ssh takes 0 for the system's own patience
		t.patience = defaultPatience
	}
	return t.fillKeepalive(s)
}

// fillKeepalive says when the host is taken for dead, where the options leave that
// open. ssh doesn't look by itself; testr does.
func (t *Target) fillKeepalive(s *settings) error {
	interval, err := parseTime("ServerAliveInterval", s.get("serveraliveinterval", "none"))
	if err != nil {
		return err
	}
	const keyword = "serveralivecountmax"
	misses, err := strconv.ParseUint(s.get(keyword, "0"), 10, 16)
	if err != nil {
		return fmt.Errorf("ServerAliveCountMax %q: is no number", s.get(keyword, ""))
	}
	if t.o.Keepalive == 0 {
		t.o.Keepalive = cmp.Or(interval, defaultKeepalive)
	}
	if t.o.Misses == 0 {
		t.o.Misses = cmp.Or(int(misses), defaultMisses)
	}
	return nil
}

// tokens are what can stand in the names of files.
func (t *Target) tokens(home string) (map[byte]string, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	short, _, _ := strings.Cut(host, ".")
	known := t.knownAs
	if known == "" {
		known = t.Alias
	}
	return map[byte]string{
		'd': home, 'h': t.HostName, 'i': me.Uid, 'k': known, 'L': short, 'l': host,
		'n': t.Alias, 'p': t.Port, 'r': t.User, 'u': me.Username,
	}, nil
}

// parseTime reads a time: seconds, or numbers with a unit each. None is 0.
func parseTime(keyword, text string) (time.Duration, error) {
	if strings.EqualFold(text, "none") {
		return 0, nil
	}
	const limit = 1 << 31
	units := map[byte]uint64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}
	var total uint64
	for rest := strings.ToLower(text); rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseUint(rest[:digits], 10, 31)
		if err != nil {
			return 0, fmt.Errorf("%s %q: is no time", keyword, text)
		}
		rest = rest[digits:]
		unit := uint64(1)
		if rest != "" {
			if unit = units[rest[0]]; unit == 0 {
				return 0, fmt.Errorf("%s %q: is no time", keyword, text)
			}
			rest = rest[1:]
		}
		if total += n * unit; total > limit {
			return 0, fmt.Errorf("%s %q: is too long", keyword, text)
		}
	}
	return time.Duration(total) * time.Second, nil
}

// fillKeys says who opens the door.
func (t *Target) fillKeys(s *settings, path func(string) (string, error)) error {
	t.onlyKeys = s.yes("identitiesonly")
	names := s.lists["identityfile"]
	if t.implied = len(names) == 0; t.implied {
		for _, name := range defaultKeys {
			names = append(names, "~/.ssh/"+name)
		}
	}
	var err error
	if t.keys, err = paths(names, path); err != nil {
		return fmt.Errorf("IdentityFile: %w", err)
	}
	if t.certificates, err = paths(s.lists["certificatefile"], path); err != nil {
		return fmt.Errorf("CertificateFile: %w", err)
	}
	if t.agent = t.o.AgentSocket; t.agent != "" {
		return nil
	}
	switch name := s.get("identityagent", "SSH_AUTH_SOCK"); {
	case name == "SSH_AUTH_SOCK":
		t.agent = t.o.getenv("SSH_AUTH_SOCK")
	case strings.EqualFold(name, "none"):
	case strings.HasPrefix(name, "$") && !strings.HasPrefix(name, "${"):
		t.agent = t.o.getenv(name[1:])
	default:
		if t.agent, err = path(name); err != nil {
			return fmt.Errorf("IdentityAgent: %w", err)
		}
	}
	return nil
}

// fillKnown says how the host is known.
func (t *Target) fillKnown(s *settings, path func(string) (string, error)) error {
	user := s.values["userknownhostsfile"]
	if user == nil {
		user = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
	}
	global := s.values["globalknownhostsfile"]
	if global == nil {
		global = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	var err error
	if t.known, err = paths(user, path); err != nil {
		return fmt.Errorf("UserKnownHostsFile: %w", err)
	}
	if len(t.known) > 0 {
		t.addTo = t.known[0]
	}
	for _, name := range global {
		if !strings.EqualFold(name, "none") {
			t.known = append(t.known, name)
		}
	}
	if name := s.get("revokedhostkeys", "none"); !strings.EqualFold(name, "none") {
		if t.revoked, err = path(name); err != nil {
			return fmt.Errorf("RevokedHostKeys: %w", err)
		}
	}
	t.hash = s.yes("hashknownhosts")
	switch strict := strings.ToLower(s.get("stricthostkeychecking", "ask")); strict {
	case "yes", "true", "ask":
	case "no", "false", "off", "accept-new":
		t.acceptNew = true
	default:
		return fmt.Errorf("StrictHostKeyChecking %q: is none of yes, no, ask, accept-new and off", strict)
	}
	return nil
}

// paths expands names, except those that are "none".
func paths(names []string, expand func(string) (string, error)) ([]string, error) {
	var all []string
	for _, name := range names {
		if strings.EqualFold(name, "none") {
			continue
		}
		name, err := expand(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all, nil
}
