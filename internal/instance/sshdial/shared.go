package sshdial

import (
	"context"
	"sync"

	"golang.org/x/crypto/ssh"
)

// maxHandshakes is how many handshakes with one address are under way at a
// time: sshd begins to turn them away at 10 (MaxStartups).
const maxHandshakes = 8

// Shared is what the Targets of a process have in common: who is let in to
// which host when, and the keys that a person has unlocked. Its zero value is ready,
// and it may be used from several goroutines.
type Shared struct {
	asking sync.Mutex // held while a person is asked for a passphrase
	adding sync.Mutex // held while a key is added to a known_hosts file

	// mu guards what follows.
	mu       sync.Mutex
	gates    map[string]chan struct{}
	unlocked map[string]unlocked
	accepted map[string]ssh.PublicKey // of unknown hosts, where no file keeps it
}

// unlocked is what became of asking for the passphrase of a key file.
type unlocked struct {
	signer ssh.Signer
	err    error
}

// enter waits until there is room for another handshake with addr. The caller
// calls leave when its own one has ended.
func (s *Shared) enter(ctx context.Context, addr string) (leave func(), err error) {
	s.mu.Lock()
	gate := s.gates[addr]
	if gate == nil {
		if s.gates == nil {
			s.gates = make(map[string]chan struct{})
		}
		gate = make(chan struct{}, maxHandshakes)
		s.gates[addr] = gate
	}
	s.mu.Unlock()
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// unlock returns the key that ask unlocks, and asks once for each name: who has
// refused, or does not know, is not asked again.
func (s *Shared) unlock(name string, ask func() (ssh.Signer, error)) (ssh.Signer, error) {
	s.asking.Lock()
	defer s.asking.Unlock()
	s.mu.Lock()
	known, ok := s.unlocked[name]
	s.mu.Unlock()
	if ok {
		return known.signer, known.err
	}
	known.signer, known.err = ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unlocked == nil {
		s.unlocked = make(map[string]unlocked)
	}
	s.unlocked[name] = known
	return known.signer, known.err
}
