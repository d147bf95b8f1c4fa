package sshhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/lab"
)

// commands is how many commands a server was asked for.
func commands(srv *lab.Server) (n int) {
	for _, req := range srv.Requests() {
		if req.Type == "exec" {
			n++
		}
	}
	return n
}

// A file is brought once, however many want it at the same time.
func TestBringOnce(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	i := instancetest.One(t, host(t, srv, Config{}))
	file := tempFile(t, "file", "content")
	cat := instance.Command{Args: []string{"cat", i.Path(file)}, Files: []string{file, file}}
	before := commands(srv)
	for _, want := range []int{21, 41} { // the file's, and twenty
		var running sync.WaitGroup
		for range 20 {
			p := instancetest.Start(t.Context(), t, i, cat)
			running.Go(func() {
				if got, err := instancetest.Finish(p, nil); err != nil || got.Stdout != "content" {
					t.Errorf("got %+v, %v; want the content", got, err)
				}
			})
		}
		running.Wait()
		if got := commands(srv) - before; got != want {
			t.Errorf("got %d commands; want %d", got, want)
		}
	}
}

// A large file stays on the host, and is not sent again while it is as it was.
func TestBringLarge(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	content := instancetest.Pattern(cachedSize)
	file := tempFile(t, "worker", string(content))
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	kept := filepath.Join(srv.Home(), ".cache/testr", hex.EncodeToString(sum[:]), "worker")
	bring := func() os.FileInfo {
		t.Helper()
		h := host(t, srv, Config{})
		if err := h.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := h.Bring(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{h.Path(file), kept} {
			got, err := os.ReadFile(name)
			if err != nil || string(got) != string(content) {
				t.Errorf("%s: got %d bytes, %v; want the file's %d", name, len(got), err, len(content))
			}
		}
		info, err := os.Stat(kept)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("got %v, %v; want an executable for its owner alone", info, err)
		}
		return info
	}
	first := bring()
	long := time.Now().Add(-29 * 24 * time.Hour)
	if err := os.Chtimes(filepath.Dir(kept), long, long); err != nil {
		t.Fatal(err)
	}
	if again := bring(); !os.SameFile(first, again) {
		t.Error("a file that was there was sent again")
	}
	if info, err := os.Stat(filepath.Dir(kept)); err != nil || time.Since(info.ModTime()) > 24*time.Hour {
		t.Errorf("got %v, %v; want it to be known that the file was used", info, err)
	}
	if err := os.Truncate(kept, cachedSize-1); err != nil {
		t.Fatal(err)
	}
	if whole := bring(); os.SameFile(first, whole) {
		t.Error("a file that was damaged was not replaced, or by writing to it")
	}
	if err := os.Chmod(kept, 0o600); err != nil {
		t.Fatal(err)
	}
	bring()
	if left, err := os.ReadDir(filepath.Dir(kept)); err != nil || len(left) != 1 {
		t.Errorf("got %v, %v; want nothing but the file", left, err)
	}
}

// What nobody has used for long is removed, and nothing else.
func TestBringForget(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	cache := filepath.Join(srv.Home(), ".cache/testr")
	old, young, other := filepath.Join(cache, strings.Repeat("a", 64)), filepath.Join(cache, strings.Repeat("b", 64)),
		filepath.Join(cache, "other")
	for _, dir := range []string{old, young, other} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{old, other} {
		long := time.Now().Add(-32 * 24 * time.Hour)
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := host(t, srv, Config{}).Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitNoFile(t, old)
	for _, dir := range []string{young, other} {
		if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
			t.Error(err)
		}
	}
}

// Whoever waits for a transfer that another one gives up begins it again.
func TestBringGivenUp(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	h := host(t, srv, Config{})
	i := instancetest.One(t, h)
	file := tempFile(t, "file", "content")
	srv.Hang()
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	go func() { errs <- h.Bring(ctx, file) }()
	awaitTransfer(t, h, file)
	cat := instance.Command{Args: []string{"cat", i.Path(file)}, Files: []string{file}}
	p := instancetest.Start(t.Context(), t, i, cat)
	cancel()
	srv.Resume()
	if err := <-errs; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want %v", err, context.Canceled)
	}
	if got, err := instancetest.Finish(p, nil); err != nil || got.Stdout != "content" {
		t.Errorf("got %+v, %v; want the content", got, err)
	}
}

// awaitTransfer waits until a file is on its way.
func awaitTransfer(t *testing.T, h *Host, file string) {
	t.Helper()
	awaitState(t, "somebody to bring the file", func() bool {
		h.life.mu.Lock()
		defer h.life.mu.Unlock()
		return h.life.transfers[file] != nil
	})
}

// What can't be brought is named, with the reason.
func TestBringErrors(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	h := host(t, srv, Config{})
	if got := h.Path("/file"); got != "" {
		t.Errorf("before a connect: got the path %q; want none", got)
	}
	if err := h.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for file, want := range map[string]string{
		dir:                              "no regular file",
		filepath.Join(dir, "missing"):    "no such file",
		"relative":                       "no absolute path",
		tempFile(t, "file", "something"): "",
	} {
		err := h.Bring(t.Context(), file)
		if want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v; want it named, with %q", file, err, want)
		}
	}
	// A cache that can't be written to.
	if err := os.WriteFile(filepath.Join(srv.Home(), ".cache"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file := tempFile(t, "large", string(instancetest.Pattern(cachedSize)))
	if err := h.Bring(t.Context(), file); err == nil || !strings.Contains(err.Error(), ".cache") {
		t.Errorf("got %v; want it to name the directory", err)
	}
}
