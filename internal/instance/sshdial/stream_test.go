package sshdial

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// newPair is a stream and its other end.
func newPair(t *testing.T) (*stream, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return newStream(near, time.Second), far
}

// Whoever reads or writes learns of the end no sooner than the connection.
func TestStreamEnd(t *testing.T) {
	for name, use := range map[string]func(*stream) error{
		"read":  func(s *stream) error { _, err := s.Read(make([]byte, 1)); return err },
		"write": func(s *stream) error { _, err := s.Write([]byte{1}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s, far := newPair(t)
			c := &Conn{lost: make(chan struct{})}
			s.owner.Store(c)
			_ = far.Close()
			err := use(s)
			if err == nil {
				t.Fatal("no error when the other end is gone")
			}
			select {
			case <-c.lost:
				if !errors.Is(c.cause, err) {
					t.Errorf("the cause is %v; want %v", c.cause, err)
				}
			default:
				t.Error("the connection does not know yet")
			}
		})
	}
}

func TestStreamStranger(t *testing.T) {
	for said, want := range map[string]string{
		"":                               "",
		"SSH-2.0-x\r\n":                  "",
		"welcome\r\nSSH-2.0-x\r\n":       "",
		"HTTP/1.1 400 Bad Request\r\n\r": "HTTP/1.1 400 Bad Request",
		"no newline":                     "no newline",
	} {
		s, far := newPair(t)
		go func() {
			_, _ = io.WriteString(far, said)
			_ = far.Close()
		}()
		before := s.lastHeard()
		_, _ = io.Copy(io.Discard, onlyReader{s})
		if got := s.stranger(); got != want {
			t.Errorf("of %q the stranger's part is %q; want %q", said, got, want)
		}
		if heard := s.lastHeard().After(before); heard != (said != "") {
			t.Errorf("of %q something was heard: %v", said, heard)
		}
	}
}

// onlyReader hides all that a stream can do but read.
type onlyReader struct{ io.Reader }

// A flood of first words is not kept.
func TestStreamGreetingBound(t *testing.T) {
	s, far := newPair(t)
	go func() {
		_, _ = far.Write(make([]byte, 100_000))
		_ = far.Close()
	}()
	_, _ = io.Copy(io.Discard, onlyReader{s})
	if got := len(s.greeting); got > maxGreeting {
		t.Errorf("%d bytes were kept; want %d at most", got, maxGreeting)
	}
}
