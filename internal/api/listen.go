package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// maxConns is how many connections there may be. Where one more comes, that one is closed
// which has been waiting for a request for longest; if none is, the new one.
const maxConns = 256

// listener accepts connections of processes that may ask, and as many as it has
// room for.
type listener struct {
	*net.UnixListener
	place place
	own   fs.FileInfo // the socket

	mu    sync.Mutex
	conns map[net.Conn]uint64 // those that are open; guarded by mu, as all that follows
	count uint64              // of what happened to connections so far
}

// busy is the place in conns of a connection that has a request to answer; others
// have the time, in events, since which they wait for one.
const busy = 0

// listen makes the socket of the repository in dir. The caller has that open for
// writing, and so what is there by that name is stale.
func listen(dir string) (*listener, error) {
	all, err := places(dir)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, p := range all {
		l, own, err := p.listen()
		if errors.Is(err, fs.ErrNotExist) && p.shared { // somebody has just removed the directory
			l, own, err = p.listen()
		}
		if err == nil {
			return &listener{UnixListener: l, place: p, own: own, conns: map[net.Conn]uint64{}}, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("no directory has a path that is short enough"))
	}
	return nil, fmt.Errorf("make a socket: %w", errors.Join(errs...))
}

// listen makes a socket. It gets its name last: nobody but us could connect
// before it has its mode, and nobody finds none in between.
func (p place) listen() (l *net.UnixListener, own fs.FileInfo, err error) {
	if err := p.make(); err != nil {
		return nil, nil, err
	}
	private := p.path() + binding
	if err := os.RemoveAll(private); err != nil {
		return nil, nil, fmt.Errorf("remove what was left of a socket: %w", err)
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make a directory for a socket: %w", err)
	}
	defer func() { _ = os.Remove(private) }()
	path := filepath.Join(private, bound)
	if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
		return nil, nil, err
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(path, 0o600); err == nil {
		own, err = os.Lstat(path)
	}
	if err == nil {
		err = os.Rename(path, p.path())
	}
	if err != nil {
		_ = l.Close()
		_ = os.Remove(path)
		return nil, nil, err
	}
	return l, own, nil
}

// Close ends listening, and removes the socket. The caller has the repository
// still open for writing, and so what is there by that name is its own; unless
// somebody has removed the repository, and another one is there.
func (l *listener) Close() error {
	err := l.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	there, findErr := l.there()
	if there {
		findErr = os.Remove(l.place.path())
	}
	err = errors.Join(err, findErr)
	if l.place.shared {
		_ = os.Remove(l.place.dir) // if it was the last one
	}
	return err
}

// there reports whether the socket is where it was made.
func (l *listener) there() (bool, error) {
	found, err := os.Lstat(l.place.path())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(found, l.own), err
}

// Accept returns the next connection of somebody who may ask.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		switch {
		case err == nil && l.admits(c):
			return c, nil
		case err == nil:
			_ = c.Close()
		case !errors.Is(err, syscall.ECONNABORTED):
			return nil, err
		}
	}
}

// admits reports whether a connection is one of somebody who may ask, and has room.
func (l *listener) admits(c *net.UnixConn) bool {
	_, err := checkPeer(c)
	return err == nil && l.admit(c)
}

// admit makes room for a connection; false means that there is none.
func (l *listener) admit(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= maxConns {
		var oldest net.Conn
		for other, since := range l.conns {
			if since != busy && (oldest == nil || since < l.conns[oldest]) {
				oldest = other
			}
		}
		if oldest == nil {
			return false
		}
		delete(l.conns, oldest)
		_ = oldest.Close()
	}
	l.count++
	l.conns[c] = l.count
	return true
}

// changed notes what happens to connections: it is the server's ConnState.
func (l *listener) changed(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.conns[c]
	switch {
	case !known: // it was closed to make room
	case state == http.StateClosed || state == http.StateHijacked:
		delete(l.conns, c)
	case state == http.StateActive:
		l.conns[c] = busy
	case state == http.StateIdle:
		l.count++
		l.conns[c] = l.count
	}
}
