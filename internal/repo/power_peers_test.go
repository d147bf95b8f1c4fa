//go:build peers

package repo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// promised is what a process was told by the repository at some moment.
type promised struct {
	init        bool
	run, events int // the last run, and how many of its events
	closed      bool
}

func (p *promised) told(lines string) {
	for line := range strings.Lines(lines) {
		word, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(word)
		switch {
		case word == "init":
			p.init = true
		case word == "run":
			p.run, _ = strconv.Atoi(number)
			p.events, p.closed = 0, false
		case word == "closed":
			p.closed = true
		case err == nil:
			p.events = n + 1
		}
	}
}

// disk is what a power cut may leave: what was synced is there, and any of what
// was not.
type disk struct {
	synced  image
	pending []call // writes and changes of size since the last sync
	named   bool   // the file has its name
	sure    bool   // and the directory is synced
}

func isRepository(path string) bool { return strings.HasSuffix(path, ".db") }

// take takes the next call.
func (d *disk) take(c call) {
	switch {
	case c.name == "linkat" || strings.HasPrefix(c.name, "renameat") && filepath.Base(string(c.data)) == FileName:
		d.named = true
	case strings.HasSuffix(c.name, "sync") && filepath.Base(c.path) == DirName:
		d.sure = d.named
	case !isRepository(c.path):
	case c.name == "pwrite64" || c.name == "ftruncate":
		d.pending = append(d.pending, c)
	case strings.HasSuffix(c.name, "sync"):
		for _, p := range d.pending {
			d.synced = apply(d.synced, p)
		}
		d.pending = nil
	}
}

// image is the content of a file. What is beyond b is a hole.
type image struct {
	b    []byte
	size int64
}

// apply returns the content after a call. It may be the same memory.
func apply(f image, c call) image {
	if c.name == "ftruncate" {
		return image{f.b[:min(int64(len(f.b)), c.at)], c.at}
	}
	end := c.at + int64(len(c.data))
	if more := end - int64(len(f.b)); more > 0 {
		f.b = append(f.b, make([]byte, more)...)
	}
	copy(f.b[c.at:], c.data)
	return image{f.b, max(f.size, end)}
}

// states are what may be found: nothing of what is pending, all of it, all with
// the last write torn, and some of it with tears, in two ways. Sectors have 512
// bytes, and are never torn.
func (d *disk) states(rnd *rand.Rand) []image {
	all := []image{d.synced}
	if len(d.pending) == 0 {
		return all
	}
	with := func(change func(i int, c call) []call) {
		b := image{slices.Clone(d.synced.b), d.synced.size}
		for i, c := range d.pending {
			for _, part := range change(i, c) {
				b = apply(b, part)
			}
		}
		all = append(all, b)
	}
	with(func(_ int, c call) []call { return []call{c} })
	with(func(i int, c call) []call {
		if i == len(d.pending)-1 && c.name == "pwrite64" {
			c.data = c.data[:rnd.IntN(len(c.data)/512+1)*512]
		}
		return []call{c}
	})
	for range 2 {
		with(func(_ int, c call) (parts []call) {
			if c.name != "pwrite64" {
				return []call{c}[:rnd.IntN(2)]
			}
			if rnd.IntN(3) == 0 {
				return nil
			}
			for at := 0; at < len(c.data); at += 512 {
				if rnd.IntN(8) > 0 {
					parts = append(parts, call{name: c.name, at: c.at + int64(at), data: c.data[at:min(at+512, len(c.data))]})
				}
			}
			return parts
		})
	}
	return all
}

// F3: whenever the power fails, from init on, the repository is found with all
// that was said to be stored, or, before init has ended, not at all. TESTR_STATES
// says how many states that a power cut may leave are tried at least.
func TestPowerLoss(t *testing.T) {
	want := 2000
	if s := os.Getenv("TESTR_STATES"); s != "" {
		want = atoi(t, s)
	}
	calls, _ := trace(t, "power", t.TempDir(), []string{fmt.Sprint("TESTR_REPO_RUNS=", 1+want/400)}, traced)
	dir := inMemory(t)
	tried, err := cutPower(dir, calls, false)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d states of %d calls", tried, len(calls))
	if tried < want {
		t.Errorf("got %d states; want %d", tried, want)
	}
	// And on a disk that lies about syncs the same states are found wanting, or
	// all of this shows nothing.
	if tried, err = cutPower(dir, calls[:min(len(calls), 1000)], true); err == nil {
		t.Errorf("got %d states in which a disk that syncs nothing loses nothing", tried)
	}
}

// inMemory is a directory whose syncs cost nothing, where there is one.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "testr-states-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// cutPower tries what a power cut leaves after each of these calls, up to the
// first state in which something is lost. A disk that lies ignores syncs.
func cutPower(dir string, calls []call, lies bool) (tried int, err error) {
	rnd := rand.New(rand.NewPCG(3, 3))
	var d disk
	p := promised{run: -1}
	for i, c := range calls {
		switch {
		case c.name != "write":
			if !lies || filepath.Base(c.path) == DirName || !strings.HasSuffix(c.name, "sync") {
				d.take(c)
			}
		case c.fd == 1:
			p.told(string(c.data))
		}
		switch {
		case p.init && !d.sure:
			return tried, errors.New("init has ended, and nothing says that the name of the file is on disk")
		case c.name == "write" || !d.named:
			continue
		}
		for k, state := range d.states(rnd) {
			tried++
			if err := p.kept(dir, state, tried%4 == 0); err != nil {
				return tried, fmt.Errorf("call %d (%s of %s), state %d, after %+v: %w", i, c.name, c.path, k, p, err)
			}
		}
	}
	return tried, nil
}

// kept checks that a repository of those bytes keeps what was promised, and
// perhaps everything else about it.
func (p promised) kept(dir string, state image, all bool) error {
	home := filepath.Join(dir, DirName)
	path := filepath.Join(home, FileName)
	if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(state.b)
	if err = errors.Join(err, f.Truncate(state.size), f.Close()); err != nil {
		return err
	}
	r, err := Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if all {
		if err := r.Check(context.Background()); err != nil {
			return err
		}
	}
	if p.run < 0 {
		return nil
	}
	info, err := r.Run(p.run)
	switch {
	case err != nil:
		return err
	case info.Events < uint64(p.events):
		return fmt.Errorf("%d events of run %d are there, and %d were printed", info.Events, p.run, p.events)
	case info.State != Finished && p.closed:
		return fmt.Errorf("run %d was closed, and is %v", p.run, info.State)
	}
	return nil
}
