//go:build peers

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
func TestSlurmRecipe(t *testing.T)  { t.Parallel(); testRecipe(t, slurmEngine(t)) }
func TestSSHRecipe(t *testing.T)    { t.Parallel(); testRecipe(t, sshEngine(t)) }

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

// Streams, statuses and words pass as they are, and instances are given back
// twice if need be.
func testRecipeCommands(t *testing.T, e *engine) {
	r := newRecipe(t, e, 1, nil)
	names := r.provision(2)
	if got := r.instances(); e.list != nil {
		want := slices.Sorted(slices.Values(names))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("instances (-wanted +there):\n%s", diff)
		}
	}
	for _, tt := range []struct {
		words  []string
		stdin  string
		out    string
		status int
	}{
		{words: []string{"true"}},
		{words: []string{"sh", "-c", "exit 7"}, status: 7},
		{words: []string{"sh", "-c", "kill -KILL $$"}, status: 128 + int(syscall.SIGKILL)},
		{words: []string{"pwd"}, out: r.dir + "\n"},
		{words: []string{"A=a b", "B='", "sh", "-c", `echo "$A$B"`}, out: "a b'\n"},
		{words: []string{"printf", "<%s>", "a b", "", "$HOME", "`'\"", "*", "--", "x\n"}, out: "<a b><><$HOME><`'\"><*><--><x\n>"},
		{words: []string{"cat"}, stdin: "\x00\x03\x04\x1b\r\n\xff no newline", out: "\x00\x03\x04\x1b\r\n\xff no newline"},
		{words: []string{"cat"}, stdin: strings.Repeat("0123456\n", 1<<17), out: strings.Repeat("0123456\n", 1<<17)},
	} {
		cmd := r.execute(names[1], append([]string{"--"}, tt.words...)...)
		cmd.Stdin = strings.NewReader(tt.stdin)
		res := r.run(cmd)
		if res.status != tt.status || res.out != tt.out {
			t.Errorf("%q: got exit status %d, %.100q; want %d, %.100q\n%s", tt.words, res.status, res.out, tt.status, tt.out, res.err)
		}
	}
	if res := r.run(r.execute(names[0], "--", "sh", "-c", "echo out; echo err >&2")); res.out != "out\n" || !strings.Contains(res.err, "err\n") {
		t.Errorf("got %q on stdout, %q on stderr; want each where it belongs", res.out, res.err)
	}
	testRecipeUnbuffered(t, r, names[0])
	for _, what := range []string{"instances", "instances that are gone"} {
		if res := r.dispose(names...); res.status != 0 || res.out != "" {
			t.Errorf("dispose of %s: got exit status %d, %q\n%s", what, res.status, res.out, res.err)
		}
	}
	if e.list != nil {
		if res := r.run(r.execute(names[0], "--", "true")); res.status == 0 {
			t.Error("a command on an instance that is gone succeeds")
		}
	}
	r.wantNothingLeft()
}

// testRecipeUnbuffered holds a dialogue without any newline.
func testRecipeUnbuffered(t *testing.T, r recipe, name string) {
	cmd := r.execute(name, "--", "sh", "-c", `printf 'name? '; name=$(dd bs=1 count=2 2>/dev/null); printf 'hello %s' "$name"; cat`)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	b := r.startCommand(cmd)
	for _, tt := range []struct{ wait, answer string }{{"name? ", "me"}, {"name? hello me", "!"}, {"name? hello me!", ""}} {
		await(t, "the text "+tt.wait, func() bool { return b.out.String() == tt.wait })
		if _, err := io.WriteString(stdin, tt.answer); err != nil {
			t.Fatal(err)
		}
	}
	_ = stdin.Close()
	if res := b.wait(); res.status != 0 {
		t.Errorf("got exit status %d; want 0\n%s", res.status, res.err)
	}
}

// Files come to their paths, with their modes and those of their directories.
func testRecipeFiles(t *testing.T, e *engine) {
	r := newRecipe(t, e, 1, nil)
	names := r.provision(1)
	base := t.TempDir()
	files := []string{filepath.Join(base, "a b/it's $x/one"), filepath.Join(base, "a b/-two"), filepath.Join(base, "three")}
	for i, file := range files {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Repeat(strconv.Itoa(i), 100_000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]os.FileMode{"a b": 0o711, "a b/it's $x": 0o705, "a b/-two": 0o755} {
		if err := os.Chmod(filepath.Join(base, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	words := slices.Concat(files, []string{"--", "stat", "-c", "%a %s"}, files,
		[]string{filepath.Join(base, "a b"), filepath.Join(base, "a b/it's $x")})
	for range 2 { // they may be there already
		res := r.run(r.execute(names[0], words...))
		lines := linesOf(res.out)
		for i, want := range []string{"600 100000", "755 100000", "600 100000", "711 ", "705 "} {
			if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
				t.Fatalf("got %q, exit status %d; want %q in line %d\n%s", lines, res.status, want, i, res.err)
			}
		}
	}
	// One that has another content is brought again.
	if err := os.WriteFile(files[2], []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if res := r.run(r.execute(names[0], files[2], "--", "cat", files[2])); res.out != "new" {
		t.Errorf("got %.20q; want the new content\n%s", res.out, res.err)
	}
}

// SIGTERM ends the command there, gently and then by force, and its last words
// arrive.
func testRecipeEnded(t *testing.T, e *engine) {
	r := newRecipe(t, e, 1, nil)
	names := r.provision(1)
	for _, tt := range []struct {
		name, script, out string
		status            int
	}{
		{"gently", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done", "ready\nbye\n", 3},
		{"by force", "trap '' TERM; echo ready; while :; do sleep 0.1; done", "ready\n", 128 + int(syscall.SIGKILL)},
		{"with all that it started", "sleep 598 & setsid sleep 598 & echo ready; wait", "ready\n", 128 + int(syscall.SIGTERM)},
	} {
		cmd := r.execute(names[0], "--", "sh", "-c", tt.script)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		b := r.startCommand(cmd)
		await(t, "a command "+tt.name, func() bool { return b.out.String() == "ready\n" })
		begun := time.Now()
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		res := b.wait()
		_ = stdin.Close()
		t.Logf("%s: ended after %v", tt.name, time.Since(begun))
		if res.status != tt.status || res.out != tt.out {
			t.Errorf("%s: got exit status %d, %q; want %d, %q\n%s", tt.name, res.status, res.out, tt.status, tt.out, res.err)
		}
		await(t, "the end of what was started "+tt.name, func() bool { return len(marked(t, names[0])) == 0 })
	}
}

// marked are the processes of the commands of an instance, wherever they are:
// all engines of the lab run them on this machine.
func marked(t *testing.T, name string) (pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		environ, _ := os.ReadFile(file)
		if bytes.Contains(environ, []byte("TESTR_COMMAND="+name+".")) {
			pids = append(pids, strings.Split(file, "/")[2])
		}
	}
	return pids
}

// Whoever looks after a recipe finds nothing to mend.
func testRecipeDoctor(t *testing.T, e *engine) {
	r := newRecipe(t, e, 2, map[string]string{"test_all.py": everyKind})
	r.want(0, "init")
	res := r.want(0, "doctor")
	for _, check := range []string{"provision", "files", "stdin", "stdout", "stderr", "exit status", "buffering", "cancel", "dispose again"} {
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
