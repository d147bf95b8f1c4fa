package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"testr/internal/lab"
	"testr/internal/repo"
)

// manyHosts is how many hosts a run begins on at once.
const manyHosts = 64

// serveHosts starts servers in this process, and returns the home directory of a
// user who knows them by their names.
func serveHosts(tb testing.TB, names ...string) (home string) {
	tb.Helper()
	dir := tb.TempDir()
	var servers []*lab.Server
	for _, name := range names {
		s, err := lab.NewServer(lab.ServerOptions{Dir: filepath.Join(dir, name), Name: name,
			IdentityFile: filepath.Join(dir, "id_ed25519")})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := s.Close(); err != nil {
				tb.Error(err)
			}
		})
		servers = append(servers, s)
	}
	home = filepath.Join(dir, "home")
	if _, err := lab.ConfigFile(home, servers...); err != nil {
		tb.Fatal(err)
	}
	return home
}

// newManyPlace is where each of n tests waits for all the others to have begun,
// on n hosts with a slot each: servers in this process.
func newManyPlace(tb testing.TB, n int, more string) place {
	tb.Helper()
	p := newPlace(tb)
	conf, tests := sleepConf, ""
	var names []string
	for i := range n {
		name := fmt.Sprintf("h%02d", i)
		names = append(names, name)
		conf += p.section(name, 1, more)
		tests += fmt.Sprintf("m.C.test_%03d_meets\n", i)
	}
	p.env = append(p.env, "HOME="+serveHosts(tb, names...))
	p.write(".testr.conf", conf)
	p.write("tests", tests)
	if err := syscall.Mkfifo(filepath.Join(p.dir, "go"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return p
}

// sleepConf is the configuration of the sleepDouble.
const sleepConf = `[DEFAULT]
worker=stream
worker_command=sleep-double
test_command=sleep-double $LISTOPT
test_list_option=--list
`

// section is an [instance NAME] with that many slots which runs commands where
// the place is: the hosts have its files.
func (p place) section(name string, slots int, more string) string {
	return fmt.Sprintf("[instance %s]\ndirectory=%s\nenv.PATH=%s\nslots=%d\n%s\n",
		name, p.dir, os.Getenv("PATH"), slots, more)
}

// meet runs the tests of a newManyPlace. It returns how long it took until all
// of them had begun, and until the run was over.
func (p place) meet(n int) (begun, over time.Duration) {
	p.Helper()
	met := filepath.Join(p.dir, "met")
	if err := os.RemoveAll(met); err != nil {
		p.Fatal(err)
	}
	if err := os.Mkdir(met, 0o700); err != nil {
		p.Fatal(err)
	}
	var out, errOut bytes.Buffer
	cmd := p.command("run", "--parallel")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	start := time.Now()
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.After(patience)
	for begun == 0 {
		entries, err := os.ReadDir(met)
		if err != nil {
			p.Error(err)
		}
		if len(entries) == n {
			begun = time.Since(start)
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case err := <-ended:
			p.Fatalf("the run ended before %d of %d tests met: %v\n%s\n%s", n-len(entries), n, err, &out, &errOut)
		case <-limit:
			_ = cmd.Process.Signal(syscall.SIGTERM)
			p.Fatalf("got %d tests of %d begun after %v, %v\n%s\n%s", len(entries), n, patience, <-ended, &out, &errOut)
		}
	}
	pipe, err := os.OpenFile(filepath.Join(p.dir, "go"), os.O_RDWR, 0) // which waits for nobody
	if err != nil {
		p.Fatal(err)
	}
	p.exited(statusPassed, cmd, <-ended, errOut.String())
	over = time.Since(start)
	if err := pipe.Close(); err != nil {
		p.Error(err)
	}
	if want := fmt.Sprintf("Ran %d tests", n); !strings.Contains(out.String(), want) {
		p.Errorf("got %s; want %q", out.String(), want)
	}
	return begun, over
}

// TestManyHosts: a run begins on 64 hosts at once, and all of them take part.
func TestManyHosts(t *testing.T) {
	t.Parallel()
	p := newManyPlace(t, manyHosts, "")
	begun, over := p.meet(manyHosts)
	t.Logf("%d hosts: all begun after %v, over after %v", manyHosts, begun, over)
	if limit := time.Minute; begun > limit {
		t.Errorf("got a test begun on each of %d hosts after %v; want that within %v", manyHosts, begun, limit)
	}
}

// forget makes the repository an empty one.
func (p place) forget() {
	p.Helper()
	if err := os.RemoveAll(filepath.Join(p.dir, repo.DirName)); err != nil {
		p.Fatal(err)
	}
	p.run(statusPassed, "", "init")
}

// newDesktop starts a host called desktop; dir is a directory of the test's own, in which
// home has the ssh configuration for it.
func newDesktop(t *testing.T) (s *lab.Server, dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := lab.NewServer(lab.ServerOptions{Dir: filepath.Join(dir, "desktop"), Name: "desktop"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.ConfigFile(filepath.Join(dir, "home")); err != nil {
		t.Fatal(err)
	}
	return s, dir
}
