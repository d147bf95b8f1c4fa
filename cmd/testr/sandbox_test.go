//go:build peers

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/repo"
)

// nobody is a user that owns nothing.
const nobody = 65534

// openProject is a project that other users can get at, with a testr that they
// can run, which is the path that is returned.
func openProject(t *testing.T, files map[string]string) (*project, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "testr-open-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	bin, work := filepath.Join(dir, "bin"), filepath.Join(dir, "work")
	for _, d := range []string{bin, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"testr", "test-double"} {
		if err := os.WriteFile(filepath.Join(bin, name), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := newProjectIn(t, work, files)
	p.env = append(p.env, "PATH="+bin+":"+os.Getenv("PATH"))
	return p, filepath.Join(bin, "testr")
}

// as makes a command one of another user.
func as(uid int, args ...string) []string {
	return append([]string{"--reuid", strconv.Itoa(uid), "--regid", strconv.Itoa(uid), "--clear-groups", "--"}, args...)
}

// TestReadingRunsNothing is S18: a hostile repository's configuration is code
// for run and list-tests alone. No other command starts a program at all.
func TestReadingRunsNothing(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_a\nm.C.test_fail\n",
		"events": "{\"test_id\":\"a\",\"test_status\":\"success\",\"runnable\":true,\"eof\":false}\n"})
	p.want(0, "init")
	p.want(1, "run")
	p.write("stream", p.want(0, "last", "--subunit").out)
	p.write("old/.testrepository/format", "1\n")
	p.write(".testr.conf", `[DEFAULT]
test_command=touch pwned; $LISTOPT $IDOPTION
test_list_option=$(touch pwned)
test_id_option=$(touch pwned) $IDFILE
test_id_list_default=$(touch pwned)
test_run_concurrency=touch pwned
filter_tags=$(touch pwned)
group_regex=(.*)
worker=stream
worker_command=touch pwned
`)
	executing := []string{"run", "list-tests", "daemon", "doctor", "worker", "relay"}
	commands := map[string][]string{
		"last":       {"last", "last --subunit", "last --json"},
		"failing":    {"failing", "failing --list", "failing --subunit", "failing --json"},
		"slowest":    {"slowest", "slowest --all"},
		"flaky":      {"flaky", "flaky m.C.test_a"},
		"history":    {"history list", "history show 0", "history prune --keep-runs 9 --compact", "history remove 99"},
		"profiles":   {"profiles"},
		"stats":      {"stats"},
		"help":       {"help", "help run", "--help", "run --help"},
		"commands":   {"commands"},
		"version":    {"version"},
		"quickstart": {"quickstart"},
		"completion": {"completion bash", "completion zsh", "completion fish", "run --generate-bash-completion"},
		"subunit":    {"subunit to-json", "subunit from-json", "subunit 1to2"},
		"load":       {"load stream", "load --force-init stream"},
		"init":       {"init"},
		"import":     {"import old", "import missing"},
		"instances":  {"instances list", "instances list --json", "instances forget @1"},
	}
	for _, c := range newApp(newEnvironment(os.Stdin, io.Discard, io.Discard)).Commands {
		if commands[c.Name] == nil && !slices.Contains(executing, c.Name) {
			t.Errorf("command %s is not known to this test", c.Name)
		}
	}
	started := func(args string) []string {
		cmd := p.command("strace", append([]string{"-f", "-qq", "-e", "trace=execve,execveat", "-e", "signal=none",
			"-o", "trace", "testr"}, strings.Fields(args)...)...)
		if strings.HasPrefix(args, "subunit") {
			cmd.Stdin = strings.NewReader(p.read(map[bool]string{false: "stream", true: "events"}[args == "subunit from-json"]))
		}
		p.run(cmd)
		return regexp.MustCompile(`(?m)^.*execve.*$`).FindAllString(p.read("trace"), -1)
	}
	for name, lines := range commands {
		for _, args := range lines {
			if got := started(args); len(got) != 1 || !strings.Contains(got[0], "/testr") {
				t.Errorf("testr %s (%s): got these programs started; want testr alone:\n%s", args, name,
					strings.Join(got, "\n"))
			}
			if p.exists("pwned") {
				t.Fatalf("testr %s ran what the configuration says", args)
			}
		}
	}
	if got := started("list-tests"); len(got) < 3 || !p.exists("pwned") {
		t.Errorf("got %q of list-tests; want to see that it executes, or all of this shows nothing", got)
	}
}

// TestForeignConfiguration is S18: what belongs to another user is refused.
func TestForeignConfiguration(t *testing.T) {
	t.Parallel()
	config := strings.Replace(batches, "=test-double", "=touch pwned; test-double", 1)
	for _, foreign := range []string{".testr.conf", "."} {
		p := newProject(t, map[string]string{".testr.conf": config,
			"sub/keep": "", "stream": passing(t)})
		p.want(0, "init")
		if err := os.Chown(p.path(foreign), nobody, -1); err != nil {
			t.Fatal(err)
		}
		for _, args := range []string{"run", "run --parallel", "run --force-init", "list-tests", "-d sub run",
			"load stream"} {
			res := p.want(2, strings.Fields(args)...)
			wantText(t, res.err, "hint: ", "trusted_directories")
		}
		if p.exists("pwned") {
			t.Errorf("with %s of another user: the configuration was run", foreign)
		}
		p.write(".config/testr/config", "[DEFAULT]\ntrusted_directories="+p.dir+"\n")
		p.want(0, "run")
		if !p.exists("pwned") {
			t.Error("the configuration that is trusted was not run, or this shows nothing")
		}
	}
}

// TestSecrets is S17: a secret of the environment is the workers' to have. It
// comes up nowhere, unless a test itself prints it.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3a9c1e5b"
	p := newProject(t, map[string]string{".testr.conf": streaming,
		"tests": "m.C.test_fail\nm.C.test_killed\nm.C.test_waits\nm.C.test_x\n"})
	p.env = append(p.env, "CANARY_TOKEN="+canary, "TESTR_LOG=trace")
	p.want(0, "init")
	b := p.start("run")
	p.awaitFile("begun")
	seen := 0
	for _, pid := range append(descendants(t, b.Process.Pid), b.Process.Pid) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // it has ended meanwhile
		}
		seen++
		if strings.Contains(string(line), canary) {
			t.Errorf("got %q as a command line that everybody can read", line)
		}
	}
	if seen < 2 {
		t.Errorf("got %d processes; want testr and a worker, or this shows nothing", seen)
	}
	p.write("go", "")
	shown := b.wait()
	all := shown.out + shown.err
	for _, args := range append(reading(), []string{"run", "--nonsense"}, []string{"list-tests"}) {
		res := p.testr(args...)
		all += res.out + res.err
	}
	if strings.Contains(all, canary) {
		t.Errorf("the secret is in what testr shows:\n%s", all)
	}
	wantNowhere(t, p.dir, canary)

	p.write("tests", "m.C.test_secret\n")
	if res := p.want(1, "run"); !strings.Contains(res.out, canary) {
		t.Errorf("got\n%s\nwant the secret that the test printed, or all of this shows nothing", res.out)
	}

	for name, want := range map[string]os.FileMode{repo.DirName: 0o700 | os.ModeDir, repositoryFile: 0o600} {
		info, err := os.Stat(p.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: got mode %v; want %v", name, info.Mode(), want)
		}
	}
}

// wantNowhere wants no file below dir to have a text.
func wantNowhere(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), text) {
			t.Errorf("%s has the secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// descendants are the processes that a process has started, and theirs.
func descendants(t *testing.T, pid int) (all []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, _ := os.ReadFile(task) // a thread may have ended
		for word := range strings.FieldsSeq(string(children)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			all = append(append(all, child), descendants(t, child)...)
		}
	}
	return all
}

// TestReadOnly: who may only read a repository gets answers, and is told why
// there is no run.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	p, program := openProject(t, map[string]string{".testr.conf": streaming, "tests": "m.C.test_a\nm.C.test_fail\n",
		"stream": passing(t)})
	p.want(0, "init")
	p.want(1, "run")
	asked := map[string]result{}
	for _, args := range reading() {
		asked[strings.Join(args, " ")] = p.testr(args...)
	}
	for name, mode := range map[string]os.FileMode{repo.DirName: 0o755, repositoryFile: 0o644} {
		if err := os.Chmod(p.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	// What nobody runs has to be nobody's, or it is refused for that.
	if err := os.Chown(p.path(".testr.conf"), nobody, -1); err != nil {
		t.Fatal(err)
	}
	temp := p.path(".nobody")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{temp, p.dir} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(p.dir, 0o555); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "TMPDIR="+temp, "XDG_CONFIG_HOME="+temp)
	for _, args := range reading() {
		res := p.run(p.command("setpriv", as(nobody, append([]string{program}, args...)...)...))
		if want := asked[strings.Join(args, " ")]; res != want {
			t.Errorf("testr %q: got %+v; want %+v", args, res, want)
		}
	}
	for _, args := range []string{"run", "load stream", "run --force-init"} {
		res := p.run(p.command("setpriv", as(nobody, append([]string{program}, strings.Fields(args)...)...)...))
		wantNoPanic(t, args, res.err)
		if res.status != 3 || res.out != "" {
			t.Errorf("testr %s: got exit status %d and %q; want 3 and nothing", args, res.status, res.out)
		}
		wantText(t, res.err, "testr: error: ", "permission denied", repositoryFile)
	}
	if err := os.RemoveAll(p.path(repo.DirName)); err != nil {
		t.Fatal(err)
	}
	res := p.run(p.command("setpriv", as(nobody, program, "init")...))
	if res.status != 3 {
		t.Errorf("testr init: got exit status %d; want 3", res.status)
	}
	wantText(t, res.err, "permission denied", repo.DirName)
}

// TestFullDisk is F24 and F11 as far as a person sees them: the run ends and
// says why, and what was shown as an outcome is stored.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	tests := ""
	for i := range 100 {
		tests += fmt.Sprintf("m.C.test_%03d_bulky\n", i)
	}
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": tests, "disk/keep": ""})
	// The mount is this shell's alone, and is gone with it.
	script := `set -e
mount -t tmpfs -o size=12m none disk
cp .testr.conf tests disk/
cd disk
testr init
set +e
testr run >../run.out 2>../run.err; echo $? >../run.status
testr last >../full.out 2>../full.err; echo $? >../full.status
head -c 100 /dev/zero >filler 2>/dev/null; df . >../df
rm -f filler tests
mount -o remount,size=64m .
testr last >../last.out 2>../last.err; echo $? >../last.status
echo m.C.test_good >tests
testr run >../again.out 2>../again.err; echo $? >../again.status
`
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script)
	cmd.Dir, cmd.Env = p.dir, p.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{"run": "3\n", "full": "1\n", "last": "1\n", "again": "0\n"} {
		if got := p.read(name + ".status"); got != want {
			t.Errorf("%s: got exit status %s; want %s\n%s", name, got, want, p.read(name+".err"))
		}
		wantNoPanic(t, name, p.read(name+".err"))
	}
	wantText(t, p.read("run.err"), "no space left")
	printed, kept := failingTests(p.read("run.out")), failingTests(p.read("last.out"))
	if len(printed) == 0 || len(printed) == 100 {
		t.Errorf("got %d failures before the disk was full; want some, and not all", len(printed))
	}
	for _, id := range printed {
		if !slices.Contains(kept, id) {
			t.Errorf("%s was printed as failed, and is gone", id)
		}
	}
	wantText(t, p.read("last.out"), "Interrupted: ", "FAILED (id=0")
	if diff := cmp.Diff(p.read("last.out"), p.read("full.out")); diff != "" {
		t.Errorf("what last shows (-with room +without):\n%s", diff)
	}
	t.Logf("%d failures printed, %d stored", len(printed), len(kept))
}
