package sshdial_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// bareServer is an SSH server that does hardly more than let clients log in, and
// whose host keys can be changed. It is for what package lab has no server for.
type bareServer struct {
	net.Listener

	mu       sync.Mutex
	keys     []ssh.Signer
	users    []ssh.PublicKey // who may log in
	offered  []string        // fingerprints of the keys that clients have offered, in their order
	accepted chan *ssh.ServerConn
	open     func(ssh.NewChannel) // deals with a channel; nil means that it is refused
}

// startServer starts a server with these host keys, where user may log in.
func startServer(t *testing.T, user ssh.PublicKey, keys ...ssh.Signer) *bareServer {
	t.Helper()
	s := &bareServer{keys: keys, users: []ssh.PublicKey{user}, accepted: make(chan *ssh.ServerConn, 100)}
	s.Listener = listen(t, s.serve)
	return s
}

func (s *bareServer) show(keys ...ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

func (s *bareServer) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.offered...)
}

func (s *bareServer) serve(conn net.Conn) {
	config := &ssh.ServerConfig{PublicKeyCallback: s.login}
	s.mu.Lock()
	for _, key := range s.keys {
		config.AddHostKey(key)
	}
	s.mu.Unlock()
	c, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		_ = conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	go func() {
		for channel := range channels {
			if s.open != nil {
				s.open(channel)
				continue
			}
			_ = channel.Reject(ssh.Prohibited, "no channels here")
		}
	}()
	s.accepted <- c
}

func (s *bareServer) login(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := ssh.FingerprintSHA256(key)
	if n := len(s.offered); n == 0 || s.offered[n-1] != shown { // asked about, and then used
		s.offered = append(s.offered, shown)
	}
	for _, user := range s.users {
		if bytes.Equal(user.Marshal(), key.Marshal()) {
			return &ssh.Permissions{}, nil
		}
	}
	return nil, errors.New("not this key")
}

// newKey makes a key of a type.
func newKey(t *testing.T, kind string) ssh.Signer {
	t.Helper()
	_, signer := newPrivateKey(t, kind)
	return signer
}

func newPrivateKey(t *testing.T, kind string) (any, ssh.Signer) {
	t.Helper()
	var private any
	var err error
	switch kind {
	case "ed25519":
		_, private, err = ed25519.GenerateKey(nil)
	case "ecdsa":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("there are no keys of the type %s", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, signer
}
