package sshdial

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

// A network that breaks in the middle of a login is no fault of the user's keys,
// and may be there again later.
func TestExplainBrokenLogin(t *testing.T) {
	broken := func(errno syscall.Errno) error {
		return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", errno)}
	}
	for _, tt := range []struct {
		err       error
		shown     bool // the host has shown its key
		kind      error
		brokenOff bool
	}{
		{io.EOF, false, ErrUnreachable, true},
		{io.EOF, true, ErrUnreachable, false},
		{broken(syscall.ECONNRESET), true, ErrUnreachable, false},
		{broken(syscall.ETIMEDOUT), true, ErrUnreachable, false},
		{broken(syscall.ETIMEDOUT), false, ErrUnreachable, false},
		{broken(syscall.EHOSTUNREACH), true, ErrUnreachable, false},
		{errNoKeys, true, ErrAuthentication, false},
		{errors.New("ssh: disconnect, reason 2: Too many authentication failures"), true, ErrAuthentication, false},
	} {
		target := &Target{Alias: "w1", HostName: "w1", Port: "22", User: "lab"}
		a := &attempt{t: target, login: &login{t: target}, shown: tt.shown}
		s, _ := newPair(t)
		brokenOff, err := a.explain(t.Context(), s, fmt.Errorf("ssh: handshake failed: %w", tt.err))
		if !errors.Is(err, tt.kind) || brokenOff != tt.brokenOff {
			t.Errorf("%v, key shown %v: got %v, to be tried again %v; want %v, %v",
				tt.err, tt.shown, err, brokenOff, tt.kind, tt.brokenOff)
		}
	}
}
