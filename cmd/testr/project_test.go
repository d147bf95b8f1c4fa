package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"testr/internal/protocol"
	"testr/internal/repo"
)

// patience is how long a test waits for a state that comes at once unless
// something is wrong.
const patience = 2 * time.Minute

// The configurations of the test double.
const (
	streaming = `[DEFAULT]
worker=stream
worker_command=test-double --stream
test_command=test-double $LISTOPT $IDOPTION
test_list_option=--list
test_id_option=--load-list $IDFILE
`
	batches = `[DEFAULT]
worker=batch
test_command=test-double $LISTOPT $IDOPTION
test_list_option=--list
test_id_option=--load-list $IDFILE
`
)

// project is a directory that testr is run in, as a process of its own.
type project struct {
	t   *testing.T
	dir string
	env []string
}

// newProject makes a directory with those files, by name and content. The
// workers of the double leave their process ids in its directory "pids".
func newProject(t *testing.T, files map[string]string) *project {
	t.Helper()
	return newProjectIn(t, t.TempDir(), files)
}

func newProjectIn(t *testing.T, dir string, files map[string]string) *project {
	t.Helper()
	p := &project{t: t, dir: dir, env: append(os.Environ(),
		"GORACE=atexit_sleep_ms=0", // a second for each process, otherwise
		"XDG_CONFIG_HOME="+filepath.Join(dir, ".config"),
		"TMPDIR="+filepath.Join(dir, ".temporary"))}
	for _, sub := range []string{".temporary", "pids"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		p.write(name, content)
	}
	return p
}

func (p *project) path(name string) string { return filepath.Join(p.dir, name) }

func (p *project) write(name, content string) {
	p.t.Helper()
	path := p.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) remove(names ...string) {
	p.t.Helper()
	for _, name := range names {
		if err := os.Remove(p.path(name)); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *project) read(name string) string {
	p.t.Helper()
	b, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// lease puts an instance into the repository, as if a run that was killed had got
// it.
func (p *project) lease(l repo.Lease) {
	p.t.Helper()
	r, err := repo.Open(p.dir)
	if err == nil {
		_, err = r.PutLease(l)
		err = errors.Join(err, r.Close())
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// result is how a command ended.
type result struct {
	out, err string
	status   int
}

func (p *project) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	return cmd
}

// testr runs testr to its end.
func (p *project) testr(args ...string) result {
	p.t.Helper()
	return p.run(p.command("testr", args...))
}

// run runs a command to its end, for which it has a limit.
func (p *project) run(cmd *exec.Cmd) result {
	p.t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Start()
	if err == nil {
		limit := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		if !limit.Stop() {
			p.t.Fatalf("%q does not end\nstdout:\n%s\nstderr:\n%s", cmd.Args, out.String(), errOut.String())
		}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("run %v: %v", cmd.Args, err)
	}
	return result{out.String(), errOut.String(), statusOf(cmd.ProcessState)}
}

// statusOf is the exit status as a shell has it.
func statusOf(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// want runs testr and wants it to end with a status.
func (p *project) want(status int, args ...string) result {
	p.t.Helper()
	res := p.testr(args...)
	if res.status != status {
		p.t.Fatalf("testr %q: got exit status %d; want %d\nstdout:\n%s\nstderr:\n%s",
			args, res.status, status, res.out, res.err)
	}
	return res
}

// background is a testr that goes on while the test does.
type background struct {
	*exec.Cmd
	p        *project
	out, err *tap
	exited   chan struct{}
}

// start starts testr. It is ended with the test, at the latest.
func (p *project) start(args ...string) *background {
	p.t.Helper()
	return p.startCommand(p.command("testr", args...))
}

func (p *project) startCommand(cmd *exec.Cmd) *background {
	p.t.Helper()
	b := &background{Cmd: cmd, p: p, out: newTap(), err: newTap(), exited: make(chan struct{})}
	b.Stdout, b.Stderr = b.out, b.err
	b.WaitDelay = patience
	if err := b.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(b.exited)
		_ = b.Wait() // the state has it all
	}()
	p.t.Cleanup(func() {
		_ = b.Process.Kill()
		<-b.exited
	})
	return b
}

func (b *background) signal(sig os.Signal) {
	b.p.t.Helper()
	if err := b.Process.Signal(sig); err != nil {
		b.p.t.Fatal(err)
	}
}

// wait waits for the end.
func (b *background) wait() result {
	b.p.t.Helper()
	select {
	case <-b.exited:
	case <-time.After(patience):
		b.p.t.Fatalf("testr %q does not end\nstdout:\n%s\nstderr:\n%s", b.Args[1:], b.out, b.err)
	}
	return result{b.out.String(), b.err.String(), statusOf(b.ProcessState)}
}

// tap keeps what a process writes, and may be read meanwhile.
type tap struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func newTap() *tap { return &tap{} }

func (b *tap) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *tap) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// await waits for a state.
func await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !reached() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func (p *project) exists(name string) bool {
	_, err := os.Lstat(p.path(name))
	return err == nil
}

// awaitFile waits until a file is there.
func (p *project) awaitFile(name string) {
	p.t.Helper()
	await(p.t, "the file "+name, func() bool { return p.exists(name) })
}

// workers are the process ids of all doubles that were ever started.
func (p *project) workers() (pids []int) {
	p.t.Helper()
	entries, err := os.ReadDir(p.path("pids"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			p.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// wantNobodyLeft wants at least so many workers to have been, and none to be.
func (p *project) wantNobodyLeft(atLeast int) {
	p.t.Helper()
	pids := p.workers()
	if len(pids) < atLeast {
		p.t.Fatalf("got %d processes of workers; want %d at least, or this shows nothing", len(pids), atLeast)
	}
	// Who was killed may take a moment to be gone.
	for deadline := time.After(5 * time.Second); ; {
		left := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return !alive(pid) })
		if len(left) == 0 {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			p.t.Errorf("got the processes %v of workers; want them gone", left)
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			return
		}
	}
}

// alive says whether a process runs: a zombie, whose parent is gone with it
// unread, doesn't.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// wantText wants every one of the texts to be in what was shown.
func wantText(t *testing.T, shown string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			t.Errorf("got the text below, want %q in it\n…%s", text, shown[max(0, len(shown)-2000):])
		}
	}
}

// wantNoPanic wants that no command ended in one.
func wantNoPanic(t *testing.T, what, stderr string) {
	t.Helper()
	for _, word := range []string{"panic", "goroutine ", "DATA RACE", "fatal error"} {
		if strings.Contains(stderr, word) {
			t.Errorf("%s: got %q on stderr:\n%s", what, word, stderr)
		}
	}
}

// passing is a stream of one test that passes.
func passing(t *testing.T) string {
	t.Helper()
	b, err := protocol.AppendPacket(nil, &protocol.Packet{Has: protocol.HasTestID, TestID: "m.C.test_loaded",
		Status: protocol.StatusSuccess, Runnable: true})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
