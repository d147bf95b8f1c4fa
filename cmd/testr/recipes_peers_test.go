//go:build peers

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everyKind is a Python suite with outcomes of all kinds. Each test notes the
// command that it belongs to, which names the instance, and where it runs.
const everyKind = `import os
import signal
import time
import unittest


class All(unittest.TestCase):
    def setUp(self):
        with open("where.%s" % self.id(), "w") as f:
            f.write(os.environ.get("TESTR_COMMAND", "here") + " " + os.environ.get("SLURMD_NODENAME", "")
                    + " " + os.readlink("/proc/self/ns/mnt"))

    def test_fails(self):
        self.fail("on purpose")

    def test_error(self):
        raise ValueError("\x1b]0;no title\x07")

    @unittest.skip("by its author")
    def test_skip(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.fail()

    def test_parts(self):
        for i in range(3):
            with self.subTest(i=i):
                self.assertNotEqual(i, 1)

    def test_killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def test_exits(self):
        os._exit(7)

    def test_chatter(self):
        print("between packets", flush=True)


for i in range(60):
    setattr(All, "test_%03d" % i, lambda self: time.sleep(0.02))
`

// hangs is a suite whose first tests hang, and whose last one looks whether that
// is over.
const hangs = `import glob
import os
import signal
import time
import unittest


class Hangs(unittest.TestCase):
    def test_0_hangs(self):
        time.sleep(600)

    def test_1_does_not_mind(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "599")
        while True:
            time.sleep(600)

    def test_2_alone(self):
        with open("alone", "w") as f:
            f.write(" ".join(sorted(self.others())))

    def others(self):
        mark = ("TESTR_COMMAND=" + os.environ["TESTR_COMMAND"].split(".")[0]).encode()
        for environ in glob.glob("/proc/[0-9]*/environ"):
            pid = environ.split("/")[2]
            try:
                if pid != str(os.getpid()) and mark in open(environ, "rb").read():
                    yield open("/proc/%s/cmdline" % pid).read()
            except OSError:
                pass
`

func TestPodmanRecipe(t *testing.T) { t.Parallel(); testRecipe(t, podmanEngine(t)) }
func TestSlurmRecipe(t *testing.T) {
	t.Parallel()
	e := slurmEngine(t)
	testRecipe(t, e)
	t.Run("queue", func(t *testing.T) { testSlurmQueue(t, e) })
}
func TestSSHRecipe(t *testing.T) { t.Parallel(); testRecipe(t, sshEngine(t)) }

// TestRecipesAreClean: shellcheck finds nothing in the scripts.
func TestRecipesAreClean(t *testing.T) {
	scripts, err := filepath.Glob(examples + "/*/[a-z]*")
	if err != nil || len(scripts) < 18 {
		t.Fatalf("got %q, %v; want three scripts for each engine", scripts, err)
	}
	out, err := exec.CommandContext(t.Context(), "shellcheck", scripts...).CombinedOutput()
	if err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}

func testRecipe(t *testing.T, e *engine) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, e *engine)
	}{
		{"commands", testRecipeCommands},
		{"files", testRecipeFiles},
		{"ended", testRecipeEnded},
		{"doctor", testRecipeDoctor},
		{"outcomes", testRecipeOutcomes},
		{"timeout", testRecipeTimeout},
		{"interrupt", testRecipeInterrupt},
		{"kill", testRecipeKill},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, e) })
	}
}

// Whoever looks after a recipe finds nothing to mend.
func testRecipeDoctor(t *testing.T, e *engine) {
	r := newRecipe(t, e, 2, map[string]string{"test_all.py": everyKind})
	r.want(0, "init")
	res := r.want(0, "doctor")
	for _, check := range []string{
		"provision", "files", "stdin", "stdout", "stderr", "exit status", "buffering", "cancel", "dispose again",
	} {
		if !regexp.MustCompile(`(?m)^\s*ok\s.*` + check).MatchString(res.out) {
			t.Errorf("got the output below, want %s to be ok in it\n%s", check, res.out)
		}
	}
	r.wantNothingLeft()
}

// The same suite has the same outcomes as here, on several workers at once.
func testRecipeOutcomes(t *testing.T, e *engine) {
	r := newRecipe(t, e, 4, map[string]string{"test_all.py": everyKind})
	conf := r.read(".testr.conf")
	here, _, _ := strings.Cut(conf, "[instance")
	r.write(".testr.conf", here)
	r.want(1, "run", "--parallel", "--force-init")
	want := outcomesOf(t, r.want(0, "last", "--subunit").out)
	if len(want) < 68 {
		t.Fatalf("got %d outcomes here; want all", len(want))
	}
	r.write(".testr.conf", conf)
	res := r.want(1, "run", "--parallel")
	got := outcomesOf(t, r.want(0, "last", "--subunit").out)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-here +there):\n%s\n%s", diff, res.err)
	}
	wantText(t, res.out, "exit status 7", "killed by SIGKILL", "Tests by host: ")
	r.wantPlaces(4)
	r.wantNothingLeft()
	if res := r.want(0, "instances", "list"); !strings.Contains(res.out, "No instances") {
		t.Errorf("got instances in the journal:\n%s", res.out)
	}
}

// wantPlaces wants the tests to have run on so many instances, and where the
// engine would run them.
func (r recipe) wantPlaces(count int) {
	r.t.Helper()
	files, err := filepath.Glob(r.path("where.*"))
	if err != nil || len(files) == 0 {
		r.t.Fatalf("got %q, %v; want a file a test", files, err)
	}
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		r.t.Fatal(err)
	}
	instances, nodes := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		words := strings.Split(string(b), " ")
		name, _, _ := strings.Cut(words[0], ".")
		instances[name], nodes[words[1]] = true, true
		if r.engine.name == "podman" && words[2] == ours {
			r.t.Errorf("%s: got a test on this machine; want a container", file)
		}
	}
	if len(instances) != count {
		r.t.Errorf("got tests on %v; want %d instances", instances, count)
	}
	if r.engine.name == "slurm" && (len(nodes) < 2 || nodes[""]) {
		r.t.Errorf("got tests on the nodes %v; want several", nodes)
	}
}

// A test that hangs is ended where it is, and says where it hung.
func testRecipeTimeout(t *testing.T, e *engine) {
	r := newRecipe(t, e, 1, map[string]string{"test_hangs.py": hangs})
	res := r.want(1, "run", "--parallel", "--force-init", "--timeout", "1")
	wantText(t, res.out, "Ran 3 tests", "failures=2", "its time limit", "in test_0_hangs")
	if others := r.read("alone"); others != "" {
		t.Errorf("got processes %q beside the worker; want those that hung to be gone", others)
	}
	r.wantNothingLeft()
}

// slowly is a suite that goes on for as long as a test needs it.
func slowly() map[string]string {
	return map[string]string{"test_many.py": strings.ReplaceAll(manyTests(40), "0.02", "60")}
}

func testRecipeInterrupt(t *testing.T, e *engine) {
	r := newRecipe(t, e, 3, slowly())
	b := r.start("run", "--parallel", "--force-init")
	r.awaitWorkers(3)
	b.signal(syscall.SIGINT)
	b.signal(syscall.SIGINT)
	if res := b.wait(); res.status != 130 {
		t.Errorf("got exit status %d; want 130\n%s", res.status, res.err)
	}
	r.wantNothingLeft()
	wantText(t, r.want(0, "instances", "list").out, "No instances")
}

// What a killed testr has left is given back by the next one.
func testRecipeKill(t *testing.T, e *engine) {
	r := newRecipe(t, e, 3, slowly())
	b := r.start("run", "--parallel", "--force-init")
	r.awaitWorkers(3)
	b.signal(syscall.SIGKILL)
	b.wait()
	if left := r.instances(); e.list != nil && len(left) != 3 {
		t.Errorf("got instances %q; want three that nobody could give back", left)
	}
	wantText(t, r.want(0, "instances", "list").out, "testr-", e.name)
	r.want(1, "run", "test_fails")
	r.wantNothingLeft()
	wantText(t, r.want(0, "instances", "list").out, "No instances")
}

// Jobs that wait in the queue are taken out of it, whoever loses patience.
func testSlurmQueue(t *testing.T, e *engine) {
	r := newRecipe(t, e, 3, slowly())
	conf := strings.Replace(r.read(".testr.conf"), "--time=8:00:00", "--begin=now+1hour", 1)
	r.write(".testr.conf", conf+"provision_timeout=1\n")
	res := r.want(3, "run", "--parallel", "--force-init")
	wantText(t, res.err, "instance_provision", "which provision_timeout allows")
	r.wantNothingLeft()
	for _, tt := range []struct {
		signal          syscall.Signal
		status, dispose int // of testr, and of giving back what it has left
	}{{syscall.SIGINT, 130, 0}, {syscall.SIGKILL, 128 + int(syscall.SIGKILL), 3}} {
		r.write(".testr.conf", conf)
		b := r.start("run", "--parallel")
		await(t, "jobs in the queue", func() bool { return len(r.instances()) == 3 })
		b.signal(tt.signal)
		if res := b.wait(); res.status != tt.status {
			t.Errorf("%v: got exit status %d; want %d\n%s", tt.signal, res.status, tt.status, res.err)
		}
		// A hook that was killed might have got more than it has said.
		r.want(tt.dispose, "instances", "dispose")
		r.wantNothingLeft()
	}
}
