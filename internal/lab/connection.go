package lab

import (
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// connection is a client that has logged in.
type connection struct {
	server *Server
	number int
	ssh    *ssh.ServerConn

	mu       sync.Mutex
	sessions int
}

// record keeps what the client has asked for.
func (c *connection) record(kind Kind, name string, payload []byte, wantReply bool) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.requests = append(c.server.requests, Request{
		Connection: c.number, Kind: kind, Type: name, Payload: slices.Clone(payload), WantReply: wantReply,
	})
}

// take counts one more session, if that many may be.
func (c *connection) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.server.opts.MaxSessions
	if limit > 0 && c.sessions >= limit {
		return false
	}
	c.sessions++
	return true
}

func (c *connection) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions--
}

// session opens a session, and has a goroutine serve it.
func (c *connection) session(channel ssh.NewChannel) {
	if !c.take() {
		_ = channel.Reject(ssh.ConnectionFailed, "open failed")
		return
	}
	ch, requests, err := channel.Accept()
	if err != nil {
		c.release()
		return
	}
	s := &session{conn: c, channel: ch}
	c.server.work.Go(func() {
		defer c.release()
		s.serve(requests)
	})
}

// environment is what a command has to begin with.
func (c *connection) environment(base []string) []string {
	client, server := c.ssh.RemoteAddr().(*net.TCPAddr), c.ssh.LocalAddr().(*net.TCPAddr)
	from, to := client.IP.String()+" "+strconv.Itoa(client.Port), strconv.Itoa(server.Port)
	return append(base,
		"USER="+c.ssh.User(),
		"LOGNAME="+c.ssh.User(),
		"SSH_CLIENT="+from+" "+to,
		"SSH_CONNECTION="+from+" "+server.IP.String()+" "+to,
	)
}

// forward connects a direct-tcpip channel to where it wants to go, until
// either end is through.
func forward(channel ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(channel.ExtraData(), &to); err != nil {
		_ = channel.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.Dial("tcp", net.JoinHostPort(to.Host, strconv.FormatUint(uint64(to.Port), 10)))
	if err != nil {
		_ = channel.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, requests, err := channel.Accept()
	if err != nil {
		_ = conn.Close()
		return
	}
	var work sync.WaitGroup
	work.Go(func() {
		ssh.DiscardRequests(requests) // until the channel was closed
		_ = conn.Close()
	})
	work.Go(func() {
		_, _ = io.Copy(conn, ch)
		_ = conn.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(ch, conn)
	_ = ch.CloseWrite()
	_ = ch.Close()
	work.Wait()
}
