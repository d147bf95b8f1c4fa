package sshhost

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"testr/internal/instance"
)

// cachedSize is how large a file must be to be kept on the host.
const cachedSize = 1 << 20

// content is what a large file has in it, while it is of this size and time.
type content struct {
	size int64
	time time.Time
	sum  string
}

// transfer is a file on its way. err is set when done is closed.
type transfer struct {
	done chan struct{}
	err  error
}

// Path is where Bring and the Files of commands bring a file of this machine;
// file is absolute. It is valid from the first connect on, for good, and empty
// before.
func (h *Host) Path(file string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.base == "" {
		return ""
	}
	return h.base + "/" + h.id + "/" + place(file) + "/" + filepath.Base(file)
}

// place is the directory of a file, below the keeper's.
func place(file string) string {
	sum := sha256.Sum256([]byte(filepath.Dir(file)))
	return "files/" + hex.EncodeToString(sum[:8])
}

// Bring brings files of this machine to the host, each once in a life: the
// content of one that was brought must not change. Others may be reading it: it
// is there as a whole, or not at all. Files of 1 MiB and more stay there, in
// ~/.cache/testr, until nobody has used them for 30 days. The error is an
// *instance.LostError where the host is to blame: a full disk is.
func (h *Host) Bring(ctx context.Context, files ...string) error {
	l, err := h.connect(ctx)
	if err != nil {
		return fmt.Errorf("bring files to %s: %w", h.cfg.Name, err)
	}
	for _, file := range files {
		if !filepath.IsAbs(file) {
			return fmt.Errorf("bring files to %s: %q is no absolute path", h.cfg.Name, file)
		}
		if err := l.bring(ctx, file); err != nil {
			return err
		}
	}
	return nil
}

// bring brings a file, unless it is there; if it is on its way already, it waits
// for that.
func (l *life) bring(ctx context.Context, file string) error {
	for {
		l.mu.Lock()
		t := l.transfers[file]
		ours := t == nil
		if ours {
			t = &transfer{done: make(chan struct{})}
			l.transfers[file] = t
		}
		l.mu.Unlock()
		if ours {
			t.err = l.send(ctx, file)
			if t.err != nil {
				if _, ok := errors.AsType[*instance.LostError](t.err); !ok { // which says all of this itself
					t.err = fmt.Errorf("bring %s to %s: %w", file, l.host.cfg.Name, t.err)
				}
				l.mu.Lock()
				delete(l.transfers, file)
				l.mu.Unlock()
			}
			close(t.done)
			return t.err
		}
		select {
		case <-t.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !errors.Is(t.err, errGivenUp) { // who has given up speaks for itself alone
			return t.err
		}
	}
}

// errGivenUp says that a transfer was ended by the context of who had begun it.
var errGivenUp = errors.New("the transfer was given up")

// send sends a file.
func (l *life) send(ctx context.Context, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no regular file")
	}
	mode := "600"
	if info.Mode()&0o111 != 0 {
		mode = "700"
	}
	to, link := l.run+"/"+place(file), ""
	if info.Size() >= cachedSize {
		sum, err := l.host.sum(f, info)
		if err != nil {
			return err
		}
		to, link = l.info.Home+"/.cache/testr/"+sum, to
	}
	args := []string{
		"/bin/sh", "-c", bringScript, "testr",
		to, filepath.Base(file), strconv.FormatInt(info.Size(), 10), mode, link,
	}
	err = l.sendTo(ctx, args, f, info.Size())
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", errGivenUp, context.Cause(ctx))
	}
	return err
}

// sendTo runs a script that takes size bytes of f, if it wants them.
func (l *life) sendTo(ctx context.Context, args []string, f *os.File, size int64) error {
	p := newProcess(l.host, nil, &program{args: args}, nil)
	if err := l.host.add(p); err != nil {
		return err
	}
	p.begin(ctx, l)
	problem := make(chan string, 1)
	go func() {
		var t instance.Tail
		_, _ = io.Copy(&t, p.Stderr())
		problem <- said("", &t)
	}()
	out, short := bufio.NewReaderSize(p.Stdout(), 16), false
	if answer, _ := out.ReadString('\n'); answer == "want\n" {
		_, err := io.CopyN(p.Stdin(), f, size) // other errors are told by the other side
		short = errors.Is(err, io.EOF)
	}
	_ = p.Stdin().Close()
	_, _ = io.Copy(io.Discard, out)
	text := <-problem
	status, err := p.Wait()
	switch {
	case err != nil:
		return err
	case short: // there, it has counted the bytes
		return errors.New("it has become shorter while it was being sent")
	case !status.Success() && text != "":
		return l.host.lost(fmt.Errorf("bring %s there: %s", filepath.Base(f.Name()), strings.ToValidUTF8(text, "?")))
	case !status.Success():
		return l.host.lost(fmt.Errorf("bring %s there: %v", filepath.Base(f.Name()), status))
	}
	return nil
}

// sum is what names the content of a large file.
func (h *Host) sum(f *os.File, info os.FileInfo) (string, error) {
	h.mu.Lock()
	known := h.contents[f.Name()]
	h.mu.Unlock()
	if known.size == info.Size() && known.time.Equal(info.ModTime()) {
		return known.sum, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	c := content{info.Size(), info.ModTime(), hex.EncodeToString(hash.Sum(nil))}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.contents[f.Name()] = c
	return c.sum, nil
}
