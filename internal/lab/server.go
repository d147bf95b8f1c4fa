package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// ServerOptions say what a server is like. Only Dir is necessary.
type ServerOptions struct {
	// Dir is a directory for the server's files, which is made. It stays the
	// caller's, who removes it after Close.
	Dir string
	// Name is what the server is called in the files of ConfigFile: letters,
	// digits, dots and hyphens. Empty means "lab".
	Name string

	// HostKey is what the server shows; nil means a new ed25519 key.
	HostKey ssh.Signer
	// HostCA, if any, signs a certificate for the host key, which the server
	// shows instead of the key.
	HostCA ssh.Signer

	// IdentityFile is the private key that clients log in with, and is made,
	// with IdentityFile.pub, where it isn't there. Several servers may name the
	// same file if they are made one after the other. Empty means Dir/id_ed25519.
	IdentityFile string
	// AuthorizedKeys may log in too.
	AuthorizedKeys []ssh.PublicKey

	// Home is the home directory of who logs in, where commands begin; it is
	// made. Empty means Dir/home.
	Home string
	// Env holds KEY=VALUE for commands, which otherwise have PATH from this
	// process and what sshd sets.
	Env []string

	// MaxSessions is how many sessions a connection may have at once; one more
	// is refused as OpenSSH does, with the reason "connect failed" and the
	// message "open failed". Zero means no limit.
	MaxSessions int
	// RefuseSignals has signal requests refused, which is what OpenSSH's sshd
	// does when it was root who logged in.
	RefuseSignals bool
	// Delay is how late bytes arrive, in each direction.
	Delay time.Duration
}

// Server is an SSH server on a port of 127.0.0.1. It runs what exec requests
// ask for with /bin/sh, as its own user, in a session (setsid) of its own, and
// does nothing else but forward direct-tcpip channels. As with sshd, commands
// outlive their connection: they find their stdin at its end, and writing
// fails. Close ends them.
//
// Any goroutine may call its methods.
type Server struct {
	opts    ServerOptions
	config  *ssh.ServerConfig
	hostKey ssh.PublicKey // without a certificate
	address *net.TCPAddr
	gate    gate

	// work counts the goroutines of the server: accept, and for each
	// connection, channel and command what they start. Close waits for them.
	work sync.WaitGroup

	// mu guards what follows.
	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	conns    map[*shapedConn]struct{}
	running  map[*command]struct{} // not reaped yet
	requests []Request
	accepted int // connections so far
	closed   bool
}

// Kind tells what a request was about.
type Kind string

// The kinds of requests: to the connection, for a channel, and to a channel.
const (
	Global  Kind = "global"
	Open    Kind = "open"
	Channel Kind = "channel"
)

// Request is something that a client has asked for.
type Request struct {
	Connection int // from 0, in the order in which they were accepted
	Kind       Kind
	Type       string // "exec", "session", "keepalive@openssh.com"
	Payload    []byte // as it was sent
	WantReply  bool
}

// NewServer starts a server. Close it.
func NewServer(opts ServerOptions) (*Server, error) {
	s := &Server{
		opts:    opts,
		conns:   make(map[*shapedConn]struct{}),
		running: make(map[*command]struct{}),
	}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("start an ssh server: %w", err)
	}
	if err := s.listen("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start an ssh server: %w", err)
	}
	return s, nil
}

// prepare makes the server's files and its configuration.
func (s *Server) prepare() (err error) {
	o := &s.opts
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	if o.Name == "" {
		o.Name = "lab"
	}
	if o.Home == "" {
		o.Home = filepath.Join(o.Dir, "home")
	}
	if o.IdentityFile == "" {
		o.IdentityFile = filepath.Join(o.Dir, "id_ed25519")
	}
	if err := os.MkdirAll(o.Home, 0o700); err != nil {
		return err
	}
	client, err := ensureKey(o.IdentityFile)
	if err != nil {
		return err
	}
	host := o.HostKey
	if host == nil {
		if host, err = NewHostKey(); err != nil {
			return err
		}
	}
	s.hostKey = host.PublicKey()
	if o.HostCA != nil {
		if host, err = certify(host, o.HostCA, "127.0.0.1"); err != nil {
			return err
		}
	}
	authorized := append([]ssh.PublicKey{client}, o.AuthorizedKeys...)
	s.config = &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-OpenSSH_9.2p1",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !isOneOf(key, authorized) {
				return nil, errors.New("the key is not authorized")
			}
			return &ssh.Permissions{}, nil
		},
	}
	s.config.AddHostKey(host)
	return nil
}

// listen begins to accept connections at address.
func (s *Server) listen(address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.listener = listener
	s.address = listener.Addr().(*net.TCPAddr)
	s.work.Go(func() { s.accept(listener) })
	return nil
}

func (s *Server) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = conn.Close()
			return
		}
		shaped := shape(conn, &s.gate, s.opts.Delay, s.work.Go)
		s.conns[shaped] = struct{}{}
		number := s.accepted
		s.accepted++
		s.mu.Unlock()
		s.work.Go(func() { s.serve(shaped, number) })
	}
}

// serve serves one connection until it ends.
func (s *Server) serve(conn *shapedConn, number int) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	sshConn, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return // of no use to anybody here: the client has it too
	}
	c := &connection{server: s, number: number, ssh: sshConn}
	s.work.Go(func() {
		for req := range requests {
			c.record(Global, req.Type, req.Payload, req.WantReply)
			_ = req.Reply(false, nil) // what sshd says to keepalive@openssh.com, too
		}
	})
	for channel := range channels {
		c.record(Open, channel.ChannelType(), channel.ExtraData(), true)
		switch channel.ChannelType() {
		case "session":
			c.session(channel)
		case "direct-tcpip":
			s.work.Go(func() { forward(channel) })
		default:
			_ = channel.Reject(ssh.UnknownChannelType, "unsupported channel type")
		}
	}
}

// Close ends all connections, kills the commands with all that they have
// started, and waits for their end. It may be called again.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	listener := s.listener
	s.listener = nil
	s.mu.Unlock()
	if listener != nil {
		_ = listener.Close()
	}
	s.Drop()
	err := s.killCommands()
	s.work.Wait()
	if err != nil {
		return fmt.Errorf("close the ssh server %s: %w", s.opts.Name, err)
	}
	return nil
}

// Drop closes all connections. New ones are accepted.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.abort()
	}
}

// Hang has the server read and say nothing any more, on all connections, new
// ones included, until Resume.
func (s *Server) Hang() { s.gate.set(true) }

// Resume ends what Hang began. Nothing was lost meanwhile.
func (s *Server) Resume() { s.gate.set(false) }

// Refuse has new connections refused until Accept; those that are there stay.
func (s *Server) Refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
}

// Accept ends what Refuse began. It fails if somebody has taken the port.
func (s *Server) Accept() error {
	if err := s.listen(s.Addr()); err != nil {
		return fmt.Errorf("accept connections again: %w", err)
	}
	return nil
}

// Name is what ConfigFile calls the server.
func (s *Server) Name() string { return s.opts.Name }

// Home is where its commands begin.
func (s *Server) Home() string { return s.opts.Home }

// IdentityFile is the private key to log in with.
func (s *Server) IdentityFile() string { return s.opts.IdentityFile }

// HostKey is the server's key, without a certificate.
func (s *Server) HostKey() ssh.PublicKey { return s.hostKey }

// Addr is 127.0.0.1 and the port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port())) }

// Port is where the server listens.
func (s *Server) Port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address.Port
}

// Connections is how many connections are open now, and how many were accepted
// in all.
func (s *Server) Connections() (open, accepted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), s.accepted
}

// Requests is all that clients have asked for so far, in the order in which it
// came.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}
