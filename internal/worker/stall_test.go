package worker

import (
	"errors"
	"io"
	"testing"
	"time"

	"testr/internal/protocol"
)

// Nothing for a while is said, and what comes afterwards is read.
func TestStallReader(t *testing.T) {
	from, to := io.Pipe()
	s := NewStallReader(from, 20*time.Millisecond)
	buf := make([]byte, 8)
	for _, text := range []string{"one", "two"} {
		if n, err := s.Read(buf); n != 0 || !errors.Is(err, protocol.ErrStalled) {
			t.Fatalf("got %d, %v; want 0, %v", n, err, protocol.ErrStalled)
		}
		go func() { _, _ = io.WriteString(to, text) }()
		n, err := s.Read(buf)
		for errors.Is(err, protocol.ErrStalled) {
			n, err = s.Read(buf)
		}
		if err != nil || string(buf[:n]) != text {
			t.Fatalf("got %q, %v; want %q", buf[:n], err, text)
		}
	}
	_ = to.Close()
	for range 2 {
		if _, err := s.Read(buf); !errors.Is(err, io.EOF) {
			t.Errorf("got %v; want EOF", err)
		}
	}
	s.Join()
}

// Who gives up reading joins all the same, and the writer is not held up.
func TestStallReaderGivenUp(t *testing.T) {
	from, to := io.Pipe()
	s := NewStallReader(from, time.Minute)
	written := make(chan error)
	go func() {
		_, err := to.Write(make([]byte, 1<<20))
		_ = to.Close()
		written <- err
	}()
	if _, err := s.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.Join()
	if err := <-written; err != nil {
		t.Errorf("got %v from writing; want none", err)
	}
}
