package api

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"testr/internal/repo"
)

// longDir is a directory whose path is too long for a socket in it.
func longDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// socketOf is where the socket of a repository is, if its path is short.
func socketOf(dir string) string { return filepath.Join(dir, repo.DirName, socketName) }

// wantAnswer wants the one who serves to answer.
func wantAnswer(t *testing.T, dir string) {
	t.Helper()
	if stats, err := dial(t, dir).Stats(); err != nil || stats.Runs != 0 {
		t.Errorf("got %+v, %v; want no runs", stats, err)
	}
}

// TestPlaces is S9: the socket is beside the file or, where that path is too long,
// in the first directory of ours where it isn't; and nothing is left when it is gone.
func TestPlaces(t *testing.T) {
	mine := "testr-" + strconv.Itoa(os.Geteuid())
	for _, test := range []struct {
		name        string
		long        bool
		spoil       func(t *testing.T, runtime, temp string)
		noRuntime   bool
		wantRuntime bool
		wantTemp    bool
	}{
		{name: "short"},
		{name: "long", long: true, wantRuntime: true},
		{name: "long, and no runtime directory", long: true, noRuntime: true, wantTemp: true},
		{name: "the runtime directory is gone", long: true, wantTemp: true,
			spoil: func(t *testing.T, runtime, _ string) { remove(t, runtime) }},
		{name: "a link is in the way", long: true, wantTemp: true,
			spoil: func(t *testing.T, runtime, temp string) { link(t, temp, filepath.Join(runtime, "testr")) }},
		{name: "a file is in the way", long: true, wantTemp: true, spoil: func(t *testing.T, runtime, _ string) {
			if err := os.WriteFile(filepath.Join(runtime, "testr"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "others may write there", long: true, wantTemp: true, spoil: func(t *testing.T, runtime, _ string) {
			dir := filepath.Join(runtime, "testr")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if test.long {
				dir = longDir(t)
			}
			short, err := os.MkdirTemp("/tmp", "api")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(short) }()
			run, temp := filepath.Join(short, "run"), filepath.Join(short, "tmp")
			if err := errors.Join(os.Mkdir(run, 0o700), os.Mkdir(temp, 0o700)); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", temp)
			if t.Setenv("XDG_RUNTIME_DIR", run); test.noRuntime {
				t.Setenv("XDG_RUNTIME_DIR", "")
			}
			if test.spoil != nil {
				test.spoil(t, run, temp)
			}
			r := newRepo(t, dir)
			s, err := Serve(Config{Dir: dir, Queries: r})
			if err != nil {
				t.Fatal(err)
			}
			home := filepath.Dir(socketOf(dir))
			if test.wantRuntime {
				home = filepath.Join(run, "testr")
			} else if test.wantTemp {
				home = filepath.Join(temp, mine)
			}
			if got := filepath.Dir(s.Path()); got != home {
				t.Errorf("got a socket in %s; want it in %s", got, home)
			}
			wantAnswer(t, dir)
			other := t.TempDir()
			link(t, dir, filepath.Join(other, "link"))
			wantAnswer(t, filepath.Join(other, "link")) // another name of the same repository
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(s.Path()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket is left behind: %v", err)
			}
			if _, err := os.Lstat(home); test.long && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its directory is left behind: %v", err)
			}
			_, err = Dial(t.Context(), dir)
			if _, foreign := errors.AsType[*ForeignError](err); !Gone(err) && (test.spoil == nil || !foreign) {
				t.Errorf("got %v; want that nobody is there", err)
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// TestMode is S9: nobody ever finds the socket with another mode than 0600, nor
// finds none, while it takes the place of one that was left behind.
func TestMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := t.TempDir()
	r := newRepo(t, dir)
	path := socketOf(dir)
	stop, looked := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			info, err := os.Lstat(path)
			switch {
			case err == nil && info.Mode() != fs.ModeSocket|0o600:
				t.Errorf("got mode %v", info.Mode())
			case err != nil && n > 0:
				t.Errorf("it is gone: %v", err)
			case err == nil:
				n++
			}
			select {
			case <-stop:
				looked <- n
				return
			default:
			}
		}
	}()
	for range 300 { // each like the first of a process: what was there is stale
		l, err := listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.UnixListener.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if n := <-looked; n == 0 {
		t.Error("nobody has looked")
	}
	if _, err := Dial(t.Context(), dir); !Gone(err) {
		t.Errorf("nobody listens: got %v; want Gone", err)
	}
	serve(t, dir, r)
	wantAnswer(t, dir)
}

// TestReplaced: the end of one whose repository was removed is none of the next one's.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, dir, newRepo(t, dir))
	if err := os.RemoveAll(filepath.Join(dir, repo.DirName)); err != nil {
		t.Fatal(err)
	}
	second := serve(t, dir, newRepo(t, dir))
	if !first.Lost() || second.Lost() {
		t.Errorf("got %v for the first one, %v for the second; want that the first is lost", first.Lost(), second.Lost())
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	wantAnswer(t, dir)
}

// TestPlanted is S9: what somebody else put in the socket's place is not asked, and
// not followed either.
func TestPlanted(t *testing.T) {
	foreign := t.TempDir() // a repository that answers, but is another one
	serve(t, foreign, newRepo(t, foreign))
	for name, plant := range map[string]func(t *testing.T, path string){
		"link to a socket": func(t *testing.T, path string) { link(t, socketOf(foreign), path) },
		"link to nothing":  func(t *testing.T, path string) { link(t, path+"-no", path) },
		"link to itself":   func(t *testing.T, path string) { link(t, path, path) },
		"directory": func(t *testing.T, path string) {
			if err := os.MkdirAll(filepath.Join(path, "in it"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"file": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"pipe": func(t *testing.T, path string) {
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := repo.Init(dir); err != nil {
				t.Fatal(err)
			}
			plant(t, socketOf(dir))
			_, err := Dial(t.Context(), dir)
			if _, ok := errors.AsType[*ForeignError](err); !ok || Gone(err) {
				t.Errorf("got %v; want that it isn't ours", err)
			}
			reader, err := Open(t.Context(), dir) // nobody has the file
			if err != nil {
				t.Fatal(err)
			}
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
			r := openRepo(t, dir)
			w, err := r.Begin(repo.RunInfo{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(t.Context(), dir)
			_, busy := errors.AsType[*repo.BusyError](err)
			if _, ok := errors.AsType[*ForeignError](err); !ok || !busy {
				t.Errorf("got %v; want that it is in use, and who isn't ours", err)
			}
			serve(t, dir, r) // it has the lock
			if info, err := dial(t, dir).Current(); err != nil || info.ID != 0 {
				t.Errorf("got %+v, %v; want run 0", info, err)
			}
			wantAnswer(t, foreign)
			if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
				t.Error(err)
			}
		})
	}
	// What stands where the socket is made goes, and nothing that it leads to.
	dir := t.TempDir()
	r := newRepo(t, dir)
	link(t, foreign, socketOf(dir)+binding)
	serve(t, dir, r)
	wantAnswer(t, dir)
	wantAnswer(t, foreign)
}

// TestBusy: where somebody has the file and answers nobody, that is told, and who
// it is; and a reader doesn't wait longer than for its context.
func TestBusy(t *testing.T) {
	dir := t.TempDir()
	r := newRepo(t, dir)
	w, err := r.Begin(repo.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), dir)
	if busy, ok := errors.AsType[*repo.BusyError](err); !ok || busy.PID != os.Getpid() {
		t.Errorf("got %v; want that this process has it", err)
	}
	if got := err.Error(); strings.Contains(got, "\n") {
		t.Errorf("got %q; want one line", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no time"))
	if _, err := Open(ctx, dir); err == nil || err.Error() != "no time" {
		t.Errorf("got %v; want the context's cause", err)
	}
	_, err = Open(t.Context(), t.TempDir())
	if _, ok := errors.AsType[*repo.NotFoundError](err); !ok {
		t.Errorf("got %v; want that there is no repository", err)
	}
	// One that begins to answer meanwhile is heard.
	opened := make(chan error, 1)
	go func() {
		reader, err := Open(t.Context(), dir)
		if err == nil {
			_, err = reader.Stats()
			err = errors.Join(err, reader.Close())
		}
		opened <- err
	}()
	serve(t, dir, r)
	if err := <-opened; err != nil {
		t.Error(err)
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Error(err)
	}
}

// TestClosedPeer: a connection that is closed at once is one of which nobody is at
// the other end.
func TestClosedPeer(t *testing.T) {
	dir := t.TempDir()
	newRepo(t, dir)
	l, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			c, err := l.UnixListener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_ = c.Close()
			}
		}
	}()
	if _, err := dial(t, dir).Stats(); !Gone(err) {
		t.Errorf("got %v; want Gone", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-over
}
