package sshdial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
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
