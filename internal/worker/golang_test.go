package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// goSuite is a copy of testdata/golang/suite, which as a module of its own can't
// be built where it is, and a directory for its test binaries.
type goSuite struct {
	dir, buildDir string
	command       string          // the go command, which keeps a log
	calls         func() []string // the log
}

func newGoSuite(t *testing.T) *goSuite {
	t.Helper()
	s := &goSuite{dir: t.TempDir(), buildDir: t.TempDir()}
	if err := os.CopyFS(s.dir, os.DirFS("testdata/golang/suite")); err != nil {
		t.Fatal(err)
	}
	s.command, s.calls = loggedGo(t)
	return s
}

// config is for a worker with the arguments of `go test`. Nothing is fetched.
func (s *goSuite) config(t *testing.T, args ...string) GoConfig {
	return GoConfig{
		Args: args, GoCommand: s.command, BuildDir: s.buildDir, Dir: s.dir,
		Stdin: strings.NewReader(""), Stderr: t.Output(),
		Env: []string{"GOFLAGS=", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local"},
	}
}

// TestGo runs the Go worker on a suite whose test binaries are built once: that
// is most of the time it takes.
func TestGo(t *testing.T) {
	s := newGoSuite(t)
	t.Run("builds once", s.testBuildsOnce)
	t.Run("lists", s.testLists)
	t.Run("lists what -run and -skip take", s.testListsSelection)
	t.Run("runs", s.testRuns)
	t.Run("runs with flags", s.testRunsWithFlags)
	t.Run("runs parallel subtests", s.testRunsParallelSubtests)
	t.Run("passes input", s.testPassesInput)
	t.Run("leaves orphans", s.testLeavesOrphans)
	t.Run("stops", s.testStops)
	t.Run("stops unheard", s.testStopsUnheard)
	t.Run("dies whole", s.testDiesWhole)
}

// goTests asks a Go worker for tests of the suite's package and returns what it answers.
func goTests(t *testing.T, cfg GoConfig, ids ...string) []*protocol.Packet {
	t.Helper()
	var requests []*protocol.Packet
	for _, id := range ids {
		requests = append(requests, requestPacket(id))
	}
	var out bytes.Buffer
	cfg.Stdin, cfg.Stdout = bytes.NewReader(encode(t, requests...)), &out
	if err := RunGo(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return decode(t, out.Bytes())
}

// goList returns the transcript of a listing.
func goList(t *testing.T, cfg GoConfig) []string {
	t.Helper()
	var out bytes.Buffer
	cfg.List, cfg.Stdout = true, &out
	if err := RunGo(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return transcript(decode(t, out.Bytes()), "example.com/suite")
}

// loggedGo is a go command that writes its arguments to a file, a line a call.
func loggedGo(t *testing.T) (command string, calls func() []string) {
	t.Helper()
	dir := t.TempDir()
	log, script := filepath.Join(dir, "log"), filepath.Join(dir, "go")
	text := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s\nexec go \"$@\"\n", log)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script, func() []string {
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
}

// Workers and a listing that share a directory list the packages once and build
// each of them once. What does not build may be tried in a group, then alone.
func (s *goSuite) testBuildsOnce(t *testing.T) {
	cfg := s.config(t, "./...")
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			packets := goTests(t, cfg, "example.com/suite/a/same.TestSame", "example.com/suite/broken.TestBroken")
			want := []string{"success example.com/suite/a/same.TestSame", "fail example.com/suite/broken.TestBroken"}
			var got []string
			for _, p := range packets {
				if p.Status.Final() {
					got = append(got, outline(p))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
		})
	}
	all.Go(func() { goList(t, cfg) })
	all.Wait()
	goList(t, cfg)
	counts := make(map[string]int)
	for _, call := range s.calls() {
		for word := range strings.FieldsSeq(call) {
			if strings.HasPrefix(word, "example.com/") || word == "./..." {
				counts[word]++
			}
		}
	}
	if counts["example.com/suite/broken"] == 2 {
		counts["example.com/suite/broken"] = 1
	}
	want := map[string]int{
		"./...": 1, "example.com/suite": 1, "example.com/suite/a/same": 1, "example.com/suite/b/same": 1,
		"example.com/suite/broken": 1, "example.com/suite/mainfails": 1, "example.com/suite/nolist": 1,
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("calls of the go command (-want +got):\n%s", diff)
	}
	for _, pattern := range []string{"*.part", "group-*"} {
		left, err := filepath.Glob(filepath.Join(s.buildDir, pattern))
		if err != nil || len(left) > 0 {
			t.Errorf("got %v left over, error %v", left, err)
		}
	}
}

func (s *goSuite) testLists(t *testing.T) {
	want := []string{
		"exists .TestPass", "exists .TestFail", "exists .TestSkip",
		"exists .TestSkipSilently", "exists .TestSubtests",
		"exists .TestParallel", "exists .TestPanic",
		"exists .TestExit", "exists .TestExitZero",
		"exists .TestKilled", "exists .TestHugeLine",
		"exists .TestFakeFrames", "exists .TestStderr",
		"exists .TestStdin", "exists .TestDir",
		"exists .TestFlags", "exists .TestOrphan",
		"exists .TestForever", "exists .TestDeaf", "exists .FuzzSeeds",
		"exists .Example_good", "exists .Example_bad",
		"exists /a/same.TestSame",
		"exists /b/same.TestSame",
		"/broken.[build failed] build output: # example.com/suite/broken " +
			"[example.com/suite/broken.test]\nbroken/broken_test.go:5:31: undefined: missing\n$",
		"fail /broken.[build failed] (not runnable)",
		"exists /mainfails.TestFine",
		"/nolist.[listing failed] stdout: no database\n" +
			"the test binary did not list its tests: exit status 4\n$",
		"fail /nolist.[listing failed] (not runnable)",
	}
	if diff := cmp.Diff(want, goList(t, s.config(t, "./..."))); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

func (s *goSuite) testListsSelection(t *testing.T) {
	want := []string{"exists .TestPass", "exists .TestFlags", "exists .Example_good"}
	got := goList(t, s.config(t, "-run=Pass|Skip|Flags/deep|good", "-skip", "Skip|Pass/x", ".", "./empty"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

func TestGoListFails(t *testing.T) {
	s := newGoSuite(t)
	for _, test := range []struct{ name, arg, want string }{
		{"no such directory", "./missing", "missing: directory not found"},
		{"no such package", "example.com/missing", "example.com/missing"},
		{"nothing matches", "example.com/suite/none...", "no packages match example.com/suite/none..."},
		{"not a flag of go list", "-mod=strange", `-mod`},
		{"unsupported", "-coverprofile=x", "not supported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := s.config(t, test.arg)
			cfg.List, cfg.Stdout = true, io.Discard
			if err := RunGo(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v; want one with %q", err, test.want)
			}
		})
	}
	t.Run("no go command", func(t *testing.T) {
		cfg := s.config(t)
		cfg.GoCommand, cfg.List, cfg.Stdout = "no-such-go", true, io.Discard
		if err := RunGo(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "no-such-go") {
			t.Errorf("got error %v; want one with the command's name", err)
		}
	})
}

// goNoise matches what differs between machines and releases of Go.
var goNoise = regexp.MustCompile(`(?s) \[recovered[^\]]*\]|\ngoroutine .*?(exit status|\$?$)|\([0-9.]+s\)`)

func (s *goSuite) testRuns(t *testing.T) {
	cfg := s.config(t, "./...")
	for _, test := range []struct {
		id   string
		want []string
	}{
		{".TestPass", []string{".TestPass stdout:     suite_test.go:16: all is well\n$", "success .TestPass"}},
		{".TestFail", []string{".TestFail stdout:     suite_test.go:18: one\n        two\n$", "fail .TestFail"}},
		{".TestSkip", []string{
			".TestSkip stdout:     suite_test.go:20: not on Sundays\n        nor at night\n$",
			".TestSkip reason: not on Sundays\nnor at night$", "skip .TestSkip"}},
		{".TestSkipSilently", []string{"skip .TestSkipSilently"}},
		{".TestSubtests", []string{
			"inprogress .TestSubtests/a of .TestSubtests",
			"inprogress .TestSubtests/a/b/c of .TestSubtests/a",
			".TestSubtests/a/b/c of .TestSubtests/a stdout:     suite_test.go:26: deep\n$",
			"fail .TestSubtests/a/b/c of .TestSubtests/a (not runnable)",
			"inprogress .TestSubtests/a/skipped of .TestSubtests/a",
			".TestSubtests/a/skipped of .TestSubtests/a stdout:     suite_test.go:27: why not\n$",
			".TestSubtests/a/skipped of .TestSubtests/a reason: why not$",
			"skip .TestSubtests/a/skipped of .TestSubtests/a (not runnable)",
			"fail .TestSubtests/a of .TestSubtests (not runnable)",
			"inprogress .TestSubtests/größe_寸 of .TestSubtests",
			".TestSubtests/größe_寸 of .TestSubtests stdout: no newline$",
			"success .TestSubtests/größe_寸 of .TestSubtests (not runnable)",
			".TestSubtests stdout:     suite_test.go:30: back at the top\n$", "fail .TestSubtests"}},
		{".TestPanic", []string{
			"inprogress .TestPanic/sub of .TestPanic", "fail .TestPanic/sub of .TestPanic (not runnable)",
			".TestPanic stdout: panic: boom\n$", ".TestPanic traceback: panic: boom\nexit status 2\n$",
			"fail .TestPanic"}},
		{".TestExit", []string{
			"inprogress .TestExit/open of .TestExit",
			".TestExit/open of .TestExit stdout:     suite_test.go:48: on the way out\n$",
			"fail .TestExit/open of .TestExit (not runnable)",
			".TestExit traceback:     suite_test.go:48: on the way out\n" +
				"the test binary ended within the test: exit status 3\n$",
			"fail .TestExit"}},
		{".TestExitZero", []string{
			".TestExitZero stdout: panic: unexpected call to os.Exit(0) during test\n$",
			".TestExitZero traceback: panic: unexpected call to os.Exit(0) during test\nexit status 2\n$",
			"fail .TestExitZero"}},
		{".TestKilled", []string{
			".TestKilled traceback: the test binary ended within the test: killed by SIGKILL\n$", "fail .TestKilled"}},
		{".TestHugeLine", []string{
			".TestHugeLine stdout: " + strings.Repeat("0123456789", 30_000) + "$", "success .TestHugeLine"}},
		{".TestFakeFrames", []string{
			".TestFakeFrames stdout: \x16=== RUN   TestOther\n\x16--- PASS: TestOther (0.00s)\n\x16alone$",
			"success .TestFakeFrames"}},
		{".TestStderr", []string{".TestStderr stdout: first\nsecond\nthird\n$", "success .TestStderr"}},
		{".TestDir", []string{"success .TestDir"}},
		{".Example_good", []string{"success .Example_good"}},
		{".Example_bad", []string{".Example_bad stdout: got:\nbad\nwant:\nworse\n$", "fail .Example_bad"}},
		{".FuzzSeeds", []string{
			"inprogress .FuzzSeeds/seed#0 of .FuzzSeeds", "success .FuzzSeeds/seed#0 of .FuzzSeeds (not runnable)",
			"inprogress .FuzzSeeds/seed#1 of .FuzzSeeds",
			".FuzzSeeds/seed#1 of .FuzzSeeds stdout:     suite_test.go:122: seed b\n$",
			"fail .FuzzSeeds/seed#1 of .FuzzSeeds (not runnable)", "fail .FuzzSeeds"}},
		{"/mainfails.TestFine", []string{
			"/mainfails.TestFine stdout: tear-down failed\n$",
			"/mainfails.TestFine traceback: tear-down failed\nthe test binary failed after the test: exit status 7\n$",
			"fail /mainfails.TestFine"}},
		{"/broken.TestBroken", []string{
			"/broken.TestBroken build output: # example.com/suite/broken [example.com/suite/broken.test]\n" +
				"broken/broken_test.go:5:31: undefined: missing\n$", "fail /broken.TestBroken"}},
		{".TestGone", []string{
			".TestGone stdout: testing: warning: no tests to run\n$",
			".TestGone unknown-test: its package has no such test\n$",
			"fail .TestGone (not runnable)"}},
		{"/gone.TestA", []string{
			"/gone.TestA unknown-test: it is of no package that is tested here\n$", "fail /gone.TestA (not runnable)"}},
		{"/empty.TestA", []string{
			"/empty.TestA unknown-test: it is of no package that is tested here\n$",
			"fail /empty.TestA (not runnable)"}},
		{".BenchmarkNothing", []string{
			".BenchmarkNothing unknown-test: no test can have that name\n$",
			"fail .BenchmarkNothing (not runnable)"}},
	} {
		t.Run(test.id, func(t *testing.T) {
			packets := goTests(t, cfg, "example.com/suite"+test.id)
			got := transcript(packets, "example.com/suite")
			for i, line := range got {
				if strings.Contains(line, "goroutine") {
					got[i] = goNoise.ReplaceAllString(line, "$1")
				}
			}
			want := append([]string{"inprogress " + test.id}, test.want...)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
			checkGoPackets(t, packets)
		})
	}
}

// checkGoPackets checks what holds for all packets of the Go worker.
func checkGoPackets(t *testing.T, packets []*protocol.Packet) {
	t.Helper()
	for _, p := range packets {
		if timed := p.Has&protocol.HasTime != 0; timed != (p.Status != protocol.StatusNone) {
			t.Errorf("%s: got a time %v", outline(p), timed)
		}
		if p.Has&protocol.HasFile != 0 && (p.MIMEType != plainText || len(p.Content) > maxPiece) {
			t.Errorf("file %s: got type %q and %d bytes", p.FileName, p.MIMEType, len(p.Content))
		}
	}
}

func (s *goSuite) testRunsWithFlags(t *testing.T) {
	cfg := s.config(t, "-short", "-run=Flags|Subtests/[^a]", ".", "-flavour=sweet")
	packets := goTests(t, cfg, "example.com/suite.TestFlags", "example.com/suite.TestSubtests")
	got := transcript(packets, "example.com/suite")
	want := []string{
		"inprogress .TestFlags", ".TestFlags stdout:     suite_test.go:84: short=true flavour=sweet\n$",
		"success .TestFlags", "inprogress .TestSubtests", "inprogress .TestSubtests/größe_寸 of .TestSubtests",
		".TestSubtests/größe_寸 of .TestSubtests stdout: no newline$",
		"success .TestSubtests/größe_寸 of .TestSubtests (not runnable)",
		".TestSubtests stdout:     suite_test.go:30: back at the top\n$", "success .TestSubtests",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// With t.Parallel the order differs from run to run; whose output it is does not.
func (s *goSuite) testRunsParallelSubtests(t *testing.T) {
	got := transcript(goTests(t, s.config(t), "example.com/suite.TestParallel"), "example.com/suite.TestParallel")
	slices.Sort(got)
	want := []string{
		"/0 of  stdout:     suite_test.go:37: log 0\n$", "/1 of  stdout:     suite_test.go:37: log 1\n$",
		"/2 of  stdout:     suite_test.go:37: log 2\n$", "inprogress ", "inprogress /0 of ", "inprogress /1 of ",
		"inprogress /2 of ", "success ", "success /0 of  (not runnable)", "success /1 of  (not runnable)",
		"success /2 of  (not runnable)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// supervise starts a Go worker for the suite.
func (s *goSuite) supervise(ctx context.Context, t *testing.T) *supervised {
	t.Helper()
	cfg := s.config(t)
	return supervise(t, func(in io.Reader, out io.Writer) error {
		cfg.Stdin, cfg.Stdout = in, out
		return RunGo(ctx, cfg)
	})
}

// A prompt appears before its answer is typed.
func (s *goSuite) testPassesInput(t *testing.T) {
	w := s.supervise(t.Context(), t)
	w.send(requestPacket("example.com/suite.TestStdin"))
	w.await("the prompt", func(p *protocol.Packet) bool { return string(p.Content) == "name? " })
	w.send(stdinPacket("Ada\n", false))
	w.await("the answer", func(p *protocol.Packet) bool { return strings.Contains(string(p.Content), `"Ada\n" <nil>`) })
	w.awaitOutline("success example.com/suite.TestStdin")
	w.send(requestPacket("example.com/suite.TestStdin"))
	w.awaitOutline("inprogress example.com/suite.TestStdin")
	w.send(stdinPacket("", true), endPacket())
	w.await("the end of input", func(p *protocol.Packet) bool { return strings.Contains(string(p.Content), `"" EOF`) })
	if err := <-w.done; err != nil {
		t.Errorf("got error %v", err)
	}
}

var pidLine = regexp.MustCompile(`pids: ([0-9 ]+)\.`)

// awaitPIDs waits until a test prints the numbers of processes, which the end of
// this test ends.
func awaitPIDs(w *supervised) (pids []int) {
	w.t.Helper()
	p := w.await("process numbers", func(p *protocol.Packet) bool { return pidLine.Match(p.Content) })
	for field := range strings.FieldsSeq(string(pidLine.FindSubmatch(p.Content)[1])) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		pids = append(pids, pid)
	}
	return pids
}

var zombie = regexp.MustCompile(`\) [ZX] `)

// awaitGone waits until a process has ended; whoever has inherited it may not
// have reaped it.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || zombie.Match(stat) {
			return
		}
	}
	t.Errorf("process %d lives on", pid)
}

// A process of another session that holds a test's output holds up nobody.
func (s *goSuite) testLeavesOrphans(t *testing.T) {
	w := s.supervise(t.Context(), t)
	w.send(requestPacket("example.com/suite.TestOrphan"), requestPacket("example.com/suite.TestPass"), endPacket())
	awaitPIDs(w)
	w.awaitOutline("success example.com/suite.TestOrphan")
	w.awaitOutline("success example.com/suite.TestPass")
	if err := <-w.done; err != nil {
		t.Errorf("got error %v", err)
	}
}

// F2: when the worker is told to stop, the test says where it hangs and ends,
// with what it has started.
func (s *goSuite) testStops(t *testing.T) {
	for _, test := range []struct{ name, says string }{
		{"TestForever", "suite.TestForever("},
		{"TestDeaf", "no signal is heard"}, // ended by SIGTERM and SIGKILL
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			w := s.supervise(ctx, t)
			w.send(requestPacket("example.com/suite." + test.name))
			pids := awaitPIDs(w) // of the test and of its child
			why := errors.New("enough")
			cancel(why)
			if err := <-w.done; !errors.Is(err, why) {
				t.Errorf("got error %v; want %v", err, why)
			}
			for _, pid := range pids {
				awaitGone(t, pid)
			}
			var stdout strings.Builder
			ended := false
			for p := range w.packets {
				if p.Status.Final() {
					t.Errorf("got %s for a test that was stopped", outline(p))
				}
				stdout.Write(p.Content)
				ended = ended || p.EOF && p.FileName == "stdout"
			}
			if !strings.Contains(stdout.String(), test.says) || !ended {
				t.Errorf("got output %q, ended %v; want it to have %q and to end", stdout.String(), ended, test.says)
			}
		})
	}
}

// workerSuiteVariable makes TestGoWorkerProcess a worker.
const workerSuiteVariable = "TESTR_TEST_GO_SUITE"

// TestGoWorkerProcess is the process of testDiesWhole, and else tests nothing.
func TestGoWorkerProcess(t *testing.T) {
	dir, buildDir, ok := strings.Cut(os.Getenv(workerSuiteVariable), ":")
	if !ok {
		return
	}
	s := &goSuite{dir: dir, buildDir: buildDir}
	cfg := s.config(t)
	cfg.Stdin, cfg.Stdout = os.Stdin, os.Stdout
	if err := RunGo(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

// A worker that is killed takes its test with it, and what that has started:
// whoever started the worker ends its process group.
func (s *goSuite) testDiesWhole(t *testing.T) {
	machines, err := (&instance.Local{}).Provision(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	process, err := machines[0].Start(t.Context(), instance.Command{
		Args: []string{os.Args[0], "-test.run=^TestGoWorkerProcess$"},
		Env:  []string{workerSuiteVariable + "=" + s.dir + ":" + s.buildDir},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := supervise(t, func(in io.Reader, out io.Writer) error {
		go func() { _, _ = io.Copy(process.Stdin(), in) }() // ends with the process
		_, err := io.Copy(out, process.Stdout())
		_, _ = io.Copy(t.Output(), process.Stderr())
		return err
	})
	w.send(requestPacket("example.com/suite.TestForever"))
	pids := awaitPIDs(w)
	if err := syscall.Kill(process.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		awaitGone(t, pid)
	}
	if err := machines[0].Close(); err != nil {
		t.Error(err)
	}
}

// A worker that nobody hears any more does not run its tests to their end.
func (s *goSuite) testStopsUnheard(t *testing.T) {
	cfg := s.config(t)
	cfg.Stdin = bytes.NewReader(encode(t, requestPacket("example.com/suite.TestStdin")))
	out, outWrite := io.Pipe()
	cfg.Stdout = outWrite
	gone := errors.New("gone")
	go func() {
		for r := protocol.NewReader(out); ; {
			if p, err := r.ReadPacket(); err != nil || p.Status == protocol.StatusInProgress {
				_ = out.CloseWithError(gone)
				return
			}
		}
	}()
	if err := RunGo(t.Context(), cfg); !errors.Is(err, gone) {
		t.Errorf("got error %v; want %v", err, gone)
	}
}
