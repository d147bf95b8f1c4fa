package sshhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/lab"
)

// closed is a Conn that has no sessions.
type closed struct{ Conn }

func (closed) OpenChannel(string, []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	return nil, nil, &ssh.OpenChannelError{Reason: ssh.Prohibited, Message: "not here"}
}

// A server that has no sessions for us is no reason to try again and again.
func TestNoSessions(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	dialed := dialer(t, srv)
	h := host(t, srv, Config{Dial: func(ctx context.Context) (Conn, error) {
		c, err := dialed(ctx)
		return closed{c}, err
	}})
	if err := h.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "not here") {
		t.Errorf("got %v; want what the server says", err)
	}
	if _, accepted := srv.Connections(); accepted != 1 {
		t.Errorf("got %d connections; want 1", accepted)
	}
}

// lagging is a Conn that refuses sessions as often as it is told.
type lagging struct {
	Conn
	refuse *atomic.Int64
}

func (l lagging) OpenChannel(name string, data []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	if l.refuse.Add(-1) >= 0 {
		return nil, nil, &ssh.OpenChannelError{Reason: ssh.ConnectionFailed, Message: "open failed"}
	}
	return l.Conn.OpenChannel(name, data)
}

// A server that still counts a session that has just ended has room in a moment.
func TestSessionJustEnded(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	dialed := dialer(t, srv)
	var refuse atomic.Int64
	h := host(t, srv, Config{Dial: func(ctx context.Context) (Conn, error) {
		c, err := dialed(ctx)
		return lagging{c, &refuse}, err
	}})
	i := instancetest.One(t, h)
	for range 5 {
		instancetest.Output(t, i, instance.Command{Args: []string{"true"}}, nil)
		refuse.Store(3)
	}
	if _, accepted := srv.Connections(); accepted != 1 {
		t.Errorf("got %d connections; want 1", accepted)
	}
}

// A further connection that can't be made is an error for those that need it.
func TestNoMoreConnections(t *testing.T) {
	srv := server(t, lab.ServerOptions{MaxSessions: 2})
	h := host(t, srv, Config{})
	i := instancetest.One(t, h)
	p := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "echo"))
	instancetest.PID(t, p)
	srv.Refuse()
	q := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "echo"))
	if lost := awaitLost(t, q); !strings.Contains(lost, "another connection") || !strings.Contains(lost, "refused") {
		t.Errorf("got %v; want it to say that there is no further connection", lost)
	}
	if got, err := instancetest.Finish(p, []byte("hello")); err != nil || got.Stdout != "hello" {
		t.Errorf("got %+v, %v; want the one that runs to go on", got, err)
	}
}

// A host without its keeper's directory runs nothing: nobody would end it.
func TestDirectoryGone(t *testing.T) {
	t.Parallel()
	srv := server(t, lab.ServerOptions{})
	h := host(t, srv, Config{})
	i := instancetest.One(t, h)
	if err := os.RemoveAll(h.life.run); err != nil {
		t.Fatal(err)
	}
	p := instancetest.Start(t.Context(), t, i, instance.Command{Args: []string{"touch", "canary"}})
	awaitLost(t, p)
	if _, err := os.Lstat(srv.Home() + "/canary"); err == nil {
		t.Error("the command has run")
	}
	awaitLife(t, h)
	awaitNoFile(t, h.life.base+"/"+h.id)
	if got := instancetest.Output(t, i, instance.Command{Args: []string{"echo", "again"}}, nil); got.Stdout != "again\n" {
		t.Errorf("got %+v; want a new life", got)
	}
}

// awaitLife waits for the end of a host's life.
func awaitLife(t *testing.T, h *Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-h.life.lost:
	case <-ctx.Done():
		t.Fatal("the host lives on")
	}
}

// A keeper's directory without a keeper is removed, but only where it is certain
// that there is none.
func TestRepair(t *testing.T) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	here := strings.TrimSpace(string(boot)) + " " + space
	leave := func(name, file, identity string) string {
		dir := "/tmp/testr-" + name + random() + ".000001"
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.WriteFile(dir+"/"+file, []byte(identity+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dead := "k." + strconv.Itoa(os.Getpid()) + ".1" // there is one with that number, that was started later
	kept := []string{
		leave("0", dead, "elsewhere"),
		leave("1", "other", here),
		leave("2", "k."+strconv.Itoa(os.Getpid())+".", here), // who knows when it was started
	}
	gone := leave("3", dead, here)
	link, _, _ := strings.Cut(gone, ".")
	if err := os.Symlink(filepath.Base(gone), link); err != nil {
		t.Fatal(err)
	}
	srv := server(t, lab.ServerOptions{})
	if err := host(t, srv, Config{}).Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitNoFile(t, gone)
	awaitNoFile(t, link)
	for _, dir := range kept {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}

// What prepares a life comes before it, every time; and who starts a command on a
// host that was lost doesn't wait for that, but is told of the loss.
func TestPrepare(t *testing.T) {
	t.Parallel()
	srv := server(t, lab.ServerOptions{})
	unprepared := errors.New("not prepared")
	var result error
	var done []string
	dialed := dialer(t, srv)
	h := host(t, srv, Config{
		Prepare: func(context.Context) error {
			done = append(done, "prepare")
			return result
		},
		Dial: func(ctx context.Context) (Conn, error) {
			done = append(done, "dial")
			return dialed(ctx)
		},
	})
	i := instancetest.One(t, h)
	p := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "block"))
	instancetest.AwaitReady(t, p)
	srv.Drop()
	why := awaitLost(t, p)
	awaitLife(t, h)
	if _, err := i.Start(t.Context(), instance.Command{Args: []string{"true"}}); err == nil ||
		!strings.Contains(err.Error(), why) {
		t.Errorf("start on a host that was lost: got %v; want %q", err, why)
	}
	result = unprepared
	if err := h.Connect(t.Context()); !errors.Is(err, unprepared) {
		t.Errorf("connect: got %v; want %v", err, unprepared)
	}
	result = nil
	if err := h.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	instancetest.Output(t, i, instance.Command{Args: []string{"true"}}, nil)
	if got := strings.Join(done, " "); got != "prepare dial prepare prepare dial" {
		t.Errorf("got %q; want each life prepared before it is begun", got)
	}
}
