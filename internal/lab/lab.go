package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// closeTimeout is how long the commands of Close may take in all.
const closeTimeout = time.Minute

// network is what the hosts' addresses are of.
const network = "10.231.0.0/16"

// Options say what a lab is like.
type Options struct {
	// Host gives what is special about each host, from 0. Nil means nothing.
	Host func(i int) HostOptions
}

// HostOptions say what a host is like.
type HostOptions struct {
	// MaxSessions and MaxStartups are sshd's; zero and empty mean its defaults.
	MaxSessions int
	MaxStartups string
	// Config holds more lines for sshd_config, before all others: sshd takes the
	// first that it finds.
	Config []string
	// Shell is the login shell; empty means root's on this machine.
	Shell string

	// Delay is how late packets arrive, in each direction, and Jitter by how
	// much more they may be, at random: they may overtake each other. Loss is
	// the part of them that is lost, from 0 to below 1, and Seed begins the
	// random numbers.
	Delay, Jitter time.Duration
	Loss          float64
	Seed          uint64
	// Rate is the speed of the link in bits a second, in each direction; zero
	// means no limit.
	Rate int64
}

// Lab is hosts on this machine, each with a network interface of its own. They
// share the file system and the table of processes with it, and reach each
// other; who logs in is root. Its fields are not to be changed.
type Lab struct {
	// Hosts are called host1, host2 and so on.
	Hosts []*Host
	// Home is the home directory of a client that knows the hosts by their
	// names; Config is its .ssh/config, and IdentityFile its private key. All
	// paths in them are absolute.
	Home, Config, IdentityFile string

	dir  string
	name name
	key  ssh.PublicKey // of IdentityFile
}

// Start makes a lab of n hosts, with its files below dir, which is made. It
// needs root, and Debian's packages openssh-server and iproute2. If it fails,
// it leaves nothing behind but files. Otherwise, Close the lab; ctx is for Start
// alone.
//
// Several labs may be there at once, in one process or in several.
func Start(ctx context.Context, dir string, n int, opts Options) (*Lab, error) {
	l, err := prepare(dir)
	if err != nil {
		return nil, fmt.Errorf("start a lab: %w", err)
	}
	if err := l.start(ctx, n, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("start a lab: %w", err), l.Close())
	}
	return l, nil
}

// prepare makes a lab without hosts.
func prepare(dir string) (*Lab, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(dir, ":\"\n") {
		return nil, fmt.Errorf("the directory %q has characters that passwd or sshd_config can't have", dir)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root")
	}
	l := &Lab{dir: dir, Home: filepath.Join(dir, "home")}
	l.IdentityFile = filepath.Join(l.Home, ".ssh", "id_ed25519")
	if l.key, err = WriteKey(l.IdentityFile, ""); err != nil {
		return nil, err
	}
	// Where sshd shuts in what isn't logged in yet; systemd would make it.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		return nil, err
	}
	l.name, err = newName()
	return l, err
}

func (l *Lab) start(ctx context.Context, n int, opts Options) error {
	for i := range n {
		var special HostOptions
		if opts.Host != nil {
			special = opts.Host(i)
		}
		l.Hosts = append(l.Hosts, newHost(l, i, special))
	}
	if err := l.connect(ctx); err != nil {
		return err
	}
	for _, h := range l.Hosts {
		if err := h.prepare(l.key); err != nil {
			return fmt.Errorf("set up %s: %w", h.Name, err)
		}
		if err := h.StartSSHD(ctx); err != nil {
			return err
		}
	}
	return l.writeHome()
}

// connect makes the hosts' links.
func (l *Lab) connect(ctx context.Context) error {
	held, err := lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	if err := sweep(ctx); err != nil {
		return err
	}
	subnets, err := freeSubnets(len(l.Hosts))
	if err != nil {
		return err
	}
	for i, h := range l.Hosts {
		h.Gateway = subnets[i].Addr().Next()
		h.Address = h.Gateway.Next()
		if err := h.connect(ctx); err != nil {
			return fmt.Errorf("connect %s: %w", h.Name, err)
		}
	}
	return nil
}

// freeSubnets finds n subnets of network, with 4 addresses each, of which
// no interface has any.
func freeSubnets(n int) ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("look for free addresses: %w", err)
	}
	var taken []netip.Prefix
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			taken = append(taken, p)
		}
	}
	var subnets []netip.Prefix
	for i := 0; i < 1<<14 && len(subnets) < n; i++ {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 231, byte(i >> 6), byte(i << 2)}), 30)
		free := true
		for _, p := range taken {
			free = free && !p.Overlaps(subnet)
		}
		if free {
			subnets = append(subnets, subnet)
		}
	}
	if len(subnets) < n {
		return nil, fmt.Errorf("look for free addresses: %s has %d subnets left; want %d", network, len(subnets), n)
	}
	return subnets, nil
}

// writeHome writes the client's files.
func (l *Lab) writeHome() (err error) {
	entries := make([]entry, len(l.Hosts))
	for i, h := range l.Hosts {
		entries[i] = h.entry()
	}
	l.Config, err = writeHome(l.Home, entries)
	return err
}

// Close ends every process of the lab, whatever became of it, and takes away
// its links and network namespaces. Its files stay. It may be called again.
func (l *Lab) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var failed error
	for _, h := range l.Hosts {
		if err := h.close(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("close %s of the lab: %w", h.Name, err))
		}
	}
	return failed
}
