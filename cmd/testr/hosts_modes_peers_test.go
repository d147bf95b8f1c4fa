//go:build peers

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/lab"
)

// noDoubleHere takes the test double out of this machine's PATH: what runs it, runs
// it on a host.
func (p *project) noDoubleHere() {
	p.t.Helper()
	testr, err := exec.LookPath("testr")
	check(p.t, err)
	check(p.t, os.MkdirAll(p.path(".bin"), 0o755))
	check(p.t, os.Symlink(testr, p.path(".bin/testr")))
	p.env = append(p.env, "PATH="+p.path(".bin")+":/usr/bin:/bin")
}

// TestModesOnHosts: in every way to run tests, and to list them, a host does as
// this machine would.
func TestModesOnHosts(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2, lab.Options{})
	const (
		plain = "[DEFAULT]\ntest_command=test-double\n"
		once  = "[DEFAULT]\ntest_command=test-double $LISTOPT\ntest_list_option=--list\n"
		tests = "m.A.test_1\nm.A.test_2_fail\nm.B.test_3\nm.B.test_4_skip\n"
	)
	for _, tt := range []struct {
		name, conf string
		args       []string
		status     int
		first      bool // it runs on the first host alone
		said       string
	}{
		{"streaming", streaming, []string{"run", "--parallel"}, 1, false, "running=test-double --stream\n"},
		{"batches", batches, []string{"run", "--parallel"}, 1, false, "running=test-double  --load-list /tmp/testr-"},
		{"batches one after another", batches, []string{"run"}, 1, true, "running=test-double  --load-list /tmp/testr-"},
		{"plain", plain, []string{"run"}, 1, true, "running=test-double\n"},
		{"plain in vain in parallel", plain, []string{"run", "--parallel"}, 1, true, "--parallel has no effect"},
		{"once", once, []string{"run", "--parallel"}, 1, true, "running=test-double \n"},
		{"isolated", streaming, []string{"run", "--parallel", "--isolated"}, 1, false, ""},
		{"isolated batches", batches, []string{"run", "--parallel", "--isolated"}, 1, false, ""},
		{"concurrency", streaming, []string{"run", "--parallel", "--concurrency", "1"}, 1, true, ""},
		{"random", streaming, []string{"run", "--parallel", "--seed", "7"}, 1, false, "seed 7\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{"tests": tests, ".testr.conf": tt.conf})
			p.env = append(p.env, "HOME="+l.Home)
			p.cleanUp()
			p.want(0, "init")
			p.want(tt.status, tt.args...)
			want := outcomesOf(t, p.want(0, "last", "--subunit").out)
			p.write(".testr.conf", tt.conf+p.sections(l))
			p.noDoubleHere()
			for range 2 { // without what is remembered of the listing, and with it
				res := p.want(tt.status, tt.args...)
				wantText(t, res.err, tt.said)
				if diff := cmp.Diff(want, outcomesOf(t, p.want(0, "last", "--subunit").out)); diff != "" {
					t.Errorf("outcomes (-here +there):\n%s", diff)
				}
				n := hostsOf(t, p.want(tt.status, "last").out)
				if n["host1"]+n["host2"] != 4 || tt.first && n["host1"] != 4 {
					t.Errorf("got %v tests by host; want 4 in all, on host1 alone: %t", n, tt.first)
				}
			}
		})
	}
}

// TestIsolatedOnHosts: each test has a process of its own.
func TestIsolatedOnHosts(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": "a\nb\nc\nd\ne\nf\n"})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	p.want(0, "run", "--parallel", "--isolated")
	if n := len(p.workers()); n != 6+1 {
		t.Errorf("got %d processes; want a lister and 6 workers", n)
	}
}

// TestUntilFailureOnHosts: a run is done again until a test fails.
func TestUntilFailureOnHosts(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": "m.A.test_1\nm.B.test_third\nm.C.test_2\n"})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	res := p.want(1, "run", "--parallel", "--until-failure")
	wantText(t, res.out, "PASSED (id=0)\n", "PASSED (id=1)\n", "FAIL: m.B.test_third\n", "FAILED (id=2, failures=1")
}

// TestPlanOnHosts: the segments of a plan run one after another, on all hosts.
func TestPlanOnHosts(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{
		"tests": "m.A.test_1_meets\nm.A.test_2_meets\nm.B.test_1\nm.B.test_2\nm.C.test_1\n", "meet": "2",
		"plan.json": `{"version": 1, "segments": [{"match": "B", "concurrency": 1}, {"match": "A"}, {"rest": true}]}`})
	p.write(".testr.conf", streaming+p.sections(l))
	p.want(0, "init")
	stream := p.want(0, "run", "--parallel", "--plan", "plan.json", "--subunit").out
	var order []string
	for _, id := range endings(stream) {
		order = append(order, id[:len("m.A")])
	}
	if want := []string{"m.B", "m.B", "m.A", "m.A", "m.C"}; !slices.Equal(order, want) {
		t.Errorf("got the order %q; want %q", order, want)
	}
	if n := hostsOf(t, p.want(0, "last").out); n["host1"] == 0 || n["host2"] == 0 {
		t.Errorf("got %v tests by host; want some on both", n)
	}
}

// TestListOnHosts: the tests of hosts are listed there.
func TestListOnHosts(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{
		"tests": "m.A.test_1\nm.A.test_'; touch pwned; $(touch pwned)\n"})
	p.write(".testr.conf", streaming)
	want := p.want(0, "list-tests").out
	for _, more := range []string{"", "relay=yes"} {
		p.write(".testr.conf", streaming+p.sections(l, more))
		p.noDoubleHere()
		if got := p.want(0, "list-tests").out; got != want || !strings.Contains(got, "m.A.test_1\n") {
			t.Errorf("%s: got %q; want %q", more, got, want)
		}
		p.remove(".bin/testr", ".bin")
	}
	if p.exists("pwned") {
		t.Error("an id was run")
	}
}

// TestStartUpFiles: what start-up files of a login shell write does no harm,
// neither to listings nor to streams.
func TestStartUpFiles(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{Host: func(int) lab.HostOptions { return lab.HostOptions{Shell: "/bin/bash"} }},
		map[string]string{"tests": suite(20)})
	p.write(".testr.conf", streaming)
	p.want(0, "init")
	p.want(1, "run", "--parallel")
	want := outcomesOf(t, p.want(0, "last", "--subunit").out)
	for _, h := range l.Hosts {
		rc := "echo Welcome to " + h.Name + "\nprintf '\\263\\051\\001'\nseq 1 20000\necho stray words >&2\ntouch " +
			p.path("sourced."+h.Name) + "\n"
		check(t, os.WriteFile(h.Home+"/.bashrc", []byte(rc), 0o600))
	}
	p.write(".testr.conf", streaming+p.sections(l, "slots=2"))
	res := p.want(1, "run", "--parallel")
	if diff := cmp.Diff(want, outcomesOf(t, p.want(0, "last", "--subunit").out)); diff != "" {
		t.Errorf("outcomes (-here +there):\n%s", diff)
	}
	if !p.exists("sourced.host1") || !p.exists("sourced.host2") || strings.Contains(res.out+res.err, "Welcome") {
		t.Errorf("got no stray output, or some of it:\n%s%s", res.out, res.err)
	}
}

// pythonTests are of every kind that unittest and pytest have in common.
const pythonTests = `import unittest


class C(unittest.TestCase):
    def test_pass(self): print("chatter")
    def test_fail(self): self.fail("no good")
    @unittest.skip("not today")
    def test_skip(self): pass
    @unittest.expectedFailure
    def test_xfail(self): self.fail()
    def test_env(self):
        import os
        self.assertEqual(os.environ["GREETING"], "it's $HOME")


class D(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise Exception("no database")
    def test_never(self): pass
`

// goTests are a package of a Go module.
const goTests = `package p

import (
	"os"
	"testing"
)

func TestPass(t *testing.T) { t.Log("well") }
func TestFail(t *testing.T) { t.Error("no good") }
func TestSkip(t *testing.T) { t.Skip("not today") }
func TestEnv(t *testing.T) {
	if got := os.Getenv("GREETING"); got != "it's $HOME" {
		t.Error(got)
	}
}
func TestParts(t *testing.T) {
	t.Run("one", func(t *testing.T) {})
	t.Run("two", func(t *testing.T) { t.Error("deep") })
}
`

// goEnv is a variable of the toolchain.
func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	check(t, err)
	return strings.TrimSpace(string(out))
}

// TestBuiltInOnHosts: the built-in workers bring along what they need, and give the
// same outcomes as here.
func TestBuiltInOnHosts(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2, lab.Options{})
	options := "test_list_option=--list\ntest_id_option=--load-list $IDFILE\n"
	for _, tt := range []struct {
		name  string
		conf  string
		files map[string]string
		tests int
	}{
		{"python", "[DEFAULT]\ntest_command=/usr/bin/python3 -m unittest discover $LISTOPT $IDOPTION\n" + options,
			map[string]string{"test_it.py": pythonTests}, 5},
		{"pytest", "[DEFAULT]\ntest_command=/usr/bin/python3 -m pytest\n", map[string]string{"test_it.py": pythonTests}, 6},
		{"go", "[DEFAULT]\ntest_command=go test ./...\n", map[string]string{
			"go.mod": "module example\n\ngo 1.26\n", "a/a_test.go": goTests, "b/b_test.go": goTests}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, tt.files)
			p.env = append(p.env, "HOME="+l.Home, "GOCACHE="+goEnv(t, "GOCACHE"), "GOPATH="+goEnv(t, "GOPATH"),
				"GREETING=it's $HOME")
			p.cleanUp()
			p.write(".testr.conf", tt.conf)
			p.want(0, "init")
			p.want(1, "run", "--parallel")
			want := outcomesOf(t, p.want(0, "last", "--subunit").out)
			p.write(".testr.conf", tt.conf+p.sections(l, "env.GREETING=it's $HOME",
				"env.GOCACHE="+goEnv(t, "GOCACHE"), "env.GOPATH="+goEnv(t, "GOPATH")))
			var cached []os.FileInfo
			for range 2 {
				p.want(1, "run", "--parallel")
				if diff := cmp.Diff(want, outcomesOf(t, p.want(0, "last", "--subunit").out)); diff != "" {
					t.Errorf("outcomes (-here +there):\n%s", diff)
				}
				n := hostsOf(t, p.want(1, "last").out)
				if n["host1"]+n["host2"] != tt.tests {
					t.Errorf("got %v tests by host; want %d", n, tt.tests)
				}
				if tt.name != "go" {
					continue
				}
				now := uploads(t, l)
				if cached == nil {
					cached = now
				}
				if !slices.EqualFunc(now, cached, os.SameFile) || len(now) == 0 {
					t.Errorf("got %v in the hosts' caches, %v after the first run; want one testr a host, the same", now, cached)
				}
			}
		})
	}
}

// uploads are the testrs in the caches of the hosts.
func uploads(t *testing.T, l *lab.Lab) (all []os.FileInfo) {
	t.Helper()
	for _, h := range l.Hosts {
		files, err := filepath.Glob(h.Home + "/.cache/testr/*/*")
		check(t, err)
		if len(files) > 1 {
			t.Errorf("got %q in the cache of %s; want testr alone", files, h.Name)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			check(t, err)
			all = append(all, info)
		}
	}
	return all
}
