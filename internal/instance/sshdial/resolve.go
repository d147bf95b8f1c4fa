package sshdial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// systemConfig is read after the user's own file.
const systemConfig = "/etc/ssh/ssh_config"

// defaultPatience is for how long a host may take until it has shown its key,
// where the configuration has no ConnectTimeout.
const defaultPatience = 30 * time.Second

// defaultKeys are the key files of a user who names none, under Home/.ssh.
var defaultKeys = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"}

// Resolve looks alias up in the ssh configuration: it is what ssh(1) would be
// given, a name or user@name. It reads files, and runs `ssh -G` where they have
// Match lines, but reaches out to nobody. Its error is an *Error of
// ErrConfiguration, unless ctx has ended it.
func Resolve(ctx context.Context, alias string, o Options) (*Target, error) {
	r := &resolver{o: o}
	if err := r.complete(); err != nil {
		return nil, &Error{Host: alias, Doing: "look it up", Kind: ErrConfiguration, Err: err}
	}
	return r.resolve(ctx, hop{host: alias}, nil)
}

// resolver resolves a name, and those of the jump hosts on the way to it.
type resolver struct {
	o        Options
	realHome bool // Home is the user's own
}

// complete fills in what the options leave out.
func (r *resolver) complete() error {
	home, err := os.UserHomeDir()
	if r.o.Home == "" {
		if err != nil {
			return err
		}
		r.o.Home = home
	}
	r.realHome = r.o.Home == home
	r.o.Keepalive, r.o.Misses = max(r.o.Keepalive, 0), max(r.o.Misses, 0)
	if r.o.Shared == nil {
		r.o.Shared = new(Shared)
	}
	if r.o.Log == nil {
		r.o.Log = hclog.NewNullLogger()
	}
	return nil
}

// hop is a host as an alias or ProxyJump names it.
type hop struct {
	user, host, port string // empty for what the configuration says
	via              []hop  // the way to it, nearest first
	given            bool   // via is the way even if it is empty
}

// resolve resolves a hop. way has what leads to it, for finding loops.
func (r *resolver) resolve(ctx context.Context, h hop, way []string) (*Target, error) {
	fail := func(err error, hint string) error {
		if ctx.Err() != nil {
			return &Error{Host: h.host, Doing: "look it up", Err: context.Cause(ctx)}
		}
		return &Error{Host: h.host, Doing: "look it up", Kind: ErrConfiguration, Err: err, Hint: hint}
	}
	if at := strings.LastIndexByte(h.host, '@'); at >= 0 {
		if h.user == "" {
			h.user = h.host[:at]
			if h.user == "" {
				return nil, fail(errors.New("there is no user before the @"), "")
			}
		}
		h.host = h.host[at+1:]
	}
	if err := checkHost(h.host); err != nil {
		return nil, fail(fmt.Errorf("host name: %w", err), portHint(h.host))
	}
	s, err := r.settings(ctx, h)
	if err != nil {
		if _, ok := errors.AsType[*matchError](err); ok {
			return nil, fail(err, "install the OpenSSH client: testr then asks `ssh -G`")
		}
		return nil, fail(err, "")
	}
	t := &Target{Alias: h.host, givenUser: h.user, givenPort: h.port, o: r.o}
	if err := r.fill(t, s, h); err != nil {
		return nil, fail(err, "")
	}
	r.warn(t, s)
	self := t.String()
	if slices.Contains(way, self) {
		return nil, fail(fmt.Errorf("jump hosts lead in a circle: %s", strings.Join(append(way, self), " → ")),
			fmt.Sprintf("write `ProxyJump none` under `Host %s`", h.host))
	}
	if len(way) > maxHops {
		return nil, fail(fmt.Errorf("more than %d jump hosts are on the way: %.200s", maxHops, strings.Join(way, ", ")), "")
	}
	next, err := t.nextHop(h, s)
	if err != nil {
		return nil, fail(err, "")
	}
	if next != nil {
		if t.jump, err = r.resolve(ctx, *next, append(slices.Clip(way), self)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// checkHost is an error for what is no name of a host.
func checkHost(host string) error {
	if err := checkName(host); err != nil {
		return err
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("%q has a colon, and is no IPv6 address", host)
		}
	}
	return nil
}

// portHint is what to do about a name with a port.
func portHint(host string) string {
	name, port, found := strings.Cut(host, ":")
	if _, err := strconv.ParseUint(port, 10, 16); !found || err != nil || checkName(name) != nil {
		return ""
	}
	return fmt.Sprintf("ports stand in ~/.ssh/config: write `Port %s` under `Host %s`", port, name)
}

// settings reads what the configuration says of a hop.
func (r *resolver) settings(ctx context.Context, h hop) (*settings, error) {
	s := newSettings()
	err := r.read(&configReader{home: r.o.Home, host: h.host, settings: s})
	var match *matchError
	if !errors.As(err, &match) {
		return s, err
	}
	return r.askSSH(ctx, h, match)
}

// read reads the configuration files that there are.
func (r *resolver) read(c *configReader) error {
	if r.o.ConfigFile != "" {
		return c.read(r.o.ConfigFile, 0)
	}
	c.strict = true
	err := c.read(filepath.Join(r.o.Home, ".ssh", "config"), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.strict, c.system = false, true
	if err = c.read(systemConfig, 0); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

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
		words := map[byte]string{'h': quote(t.HostName), 'p': quote(t.Port), 'r': quote(t.User), 'n': quote(t.Alias)}
		if t.command, err = expandTokens(command, words); err != nil {
			return fmt.Errorf("ProxyCommand: %w", err)
		}
		if strings.IndexByte(t.command, 0) >= 0 {
			return errors.New("ProxyCommand: has a NUL byte")
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
		t.agent = os.Getenv("SSH_AUTH_SOCK")
	case strings.EqualFold(name, "none"):
	case strings.HasPrefix(name, "$") && !strings.HasPrefix(name, "${"):
		t.agent = os.Getenv(name[1:])
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

// warn says what of the configuration is not done, once each.
func (r *resolver) warn(t *Target, s *settings) {
	switch strings.ToLower(s.get("stricthostkeychecking", "")) {
	case "no", "false", "off":
		r.o.Log.Warn("StrictHostKeyChecking no is taken for accept-new: a key that has changed is refused all the same",
			"host", t.Alias)
	}
	for _, forward := range []struct{ keyword, name string }{
		{"forwardagent", "ForwardAgent"}, {"forwardx11", "ForwardX11"}, {"localforward", "LocalForward"},
		{"remoteforward", "RemoteForward"}, {"dynamicforward", "DynamicForward"}, {"tunnel", "Tunnel"},
	} {
		switch strings.ToLower(s.get(forward.keyword, "no")) {
		case "no", "false":
		default:
			r.o.Log.Warn(forward.name+" of the ssh configuration is ignored: testr forwards nothing", "host", t.Alias)
		}
	}
}
