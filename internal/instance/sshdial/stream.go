package sshdial

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stream is the way that a connection's bytes take. It notes when something was
// heard of the host, and tells the Conn at once when there will be nothing more.
type stream struct {
	net.Conn
	quick syscall.RawConn // of a TCP socket, or nil

	began time.Time
	heard atomic.Int64         // when something was last read, since began
	owner atomic.Pointer[Conn] // who is told of the end; nil before there is one

	mu       sync.Mutex
	greeting []byte // how the host's first words begin; guarded by mu
}

// maxGreeting is how much is kept of the first words.
const maxGreeting = 255

// newStream makes a stream of a connection to a host of which nothing may be
// heard for limit.
func newStream(conn net.Conn, limit time.Duration) *stream {
	s := &stream{Conn: conn, began: time.Now()}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
		s.quick, _ = tcp.SyscallConn()
		s.option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	}
	return s
}

// option sets an option of the socket. All of them are for speed, or a second
// line of defence: where the system has them not, nothing is wrong.
func (s *stream) option(level, name, value int) {
	if s.quick != nil {
		_ = s.quick.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, name, value) })
	}
}

// Read reads. Before that it asks the system to acknowledge at once what
// arrives, which it forgets again by itself: sshd writes in small pieces, and
// holds back each until the one before it is acknowledged.
func (s *stream) Read(b []byte) (int, error) {
	s.option(unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	n, err := s.Conn.Read(b)
	if n > 0 {
		s.heard.Store(int64(time.Since(s.began)))
		s.greet(b[:n])
	}
	if err != nil {
		s.end(err)
	}
	return n, err
}

// Write writes.
func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	if err != nil {
		s.end(err)
	}
	return n, err
}

func (s *stream) end(err error) {
	if c := s.owner.Load(); c != nil {
		c.lose(err)
	}
}

// lastHeard is when something was last read of the host, or when the connection
// began.
func (s *stream) lastHeard() time.Time { return s.began.Add(time.Duration(s.heard.Load())) }

func (s *stream) greet(b []byte) {
	if s.owner.Load() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greeting = append(s.greeting, b[:min(len(b), maxGreeting-len(s.greeting))]...)
}

// stranger is the first line that the host has said, if what it says is not
// SSH.
func (s *stream) stranger() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := string(s.greeting)
	if strings.HasPrefix(text, "SSH-") || strings.Contains(text, "\nSSH-") {
		return ""
	}
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimRight(line, "\r")
}
