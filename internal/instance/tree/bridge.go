package tree

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"testr/internal/instance"
	"testr/internal/tempdir"
)

// maxSocketPath is what fits the address of a Unix socket.
const maxSocketPath = 107

// bridge is the socket that ServeRsh connects to, and what connects it to a
// command on the instance.
//
// One goroutine belongs to it, started by listen and joined by close, and while
// there is a command two that it joins.
type bridge struct {
	listener *net.UnixListener
	dir      *tempdir.Dir // of the socket, removed by close; nil if it is somebody else's
	cancel   context.CancelFunc
	joined   sync.WaitGroup
	err      error // to be read after close
}

// listen makes a socket in dir, which is ours alone, or, if its name is too long
// there, in a directory like it.
func (t *there) listen(ctx context.Context, dir string) (*bridge, error) {
	b := &bridge{}
	socket := filepath.Join(dir, "rsh")
	if len(socket) > maxSocketPath {
		var err error
		if b.dir, err = tempdir.Make(); err != nil {
			return nil, err
		}
		socket = filepath.Join(b.dir.Path(), "rsh")
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err == nil {
		err = os.Chmod(socket, 0o600)
	}
	if err != nil {
		b.remove()
		return nil, err
	}
	b.listener = listener
	ctx, b.cancel = context.WithCancel(ctx)
	b.joined.Go(func() {
		conn, err := listener.Accept()
		_ = listener.Close() // one is enough
		if err != nil {
			return // closed
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer stop()
		b.err = b.serve(ctx, t, conn)
		_ = conn.Close()
	})
	return b, nil
}

func (b *bridge) remove() {
	if b.dir != nil {
		_ = b.dir.Remove()
	}
}

// close ends it all, and gives the error of the command.
func (b *bridge) close() error {
	_ = b.listener.Close()
	b.cancel()
	b.joined.Wait()
	b.remove()
	return b.err
}

// serve starts the command that is asked for, and copies both ways until it
// ends.
func (b *bridge) serve(ctx context.Context, t *there, conn net.Conn) error {
	in := bufio.NewReaderSize(conn, maxFrame)
	words, err := readCommand(in)
	if err != nil {
		return err
	}
	args := append([]string{"sh", "-c", execAll, "testr-sync", t.dir}, words...)
	p, err := t.inst.Start(ctx, instance.Command{Args: args})
	if err != nil {
		return err
	}
	var copying sync.WaitGroup
	var stderr instance.Tail
	copying.Go(func() { _, _ = io.Copy(&stderr, p.Stderr()) })
	copying.Go(func() {
		_, _ = io.Copy(p.Stdin(), in)
		_ = p.Stdin().Close()
	})
	out := frames{conn}
	_, writeErr := io.CopyBuffer(out, struct{ io.Reader }{p.Stdout()}, make([]byte, maxFrame))
	if writeErr != nil { // nobody is there any more: it ends with its input
		_ = conn.Close()
		_, _ = io.Copy(io.Discard, p.Stdout())
	}
	status, err := p.Wait()
	code := status.Code
	if err != nil || code < 0 {
		code = lostStatus
	}
	if writeErr == nil {
		writeErr = out.status(code)
	}
	_ = conn.Close()
	copying.Wait()
	switch {
	case err != nil:
		return err
	case !status.Success():
		return errors.New(status.String() + explain(&stderr))
	case writeErr != nil:
		return fmt.Errorf("rsync here has gone: %w", writeErr)
	}
	return nil
}
