package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"testr/internal/repo"
)

// The test binary serves as testr, and as the test command of the scripts.
func TestMain(m *testing.M) {
	commands := map[string]func(){
		"testr":        main,
		"test-double":  func() { os.Exit(testDouble(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"idle-double":  func() { os.Exit(idleDouble(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"sleep-double": func() { os.Exit(sleepDouble(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	}
	if commands[filepath.Base(os.Args[0])] == nil {
		heedSignals()
	}
	testscript.Main(m, commands)
}

// heedSignals has what the tests start get signals that these themselves are not to
// get, as when nohup started them: what is ignored is inherited, what is caught isn't.
func heedSignals() {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}

// TestScript runs the end-to-end scripts, a behaviour each.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a second for each helper, otherwise
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, ".config"))
			env.Setenv("TMPDIR", filepath.Join(env.WorkDir, ".temporary"))
			for name, dir := range map[string]string{"EXAMPLES": examples, "ENGINES": "testdata/engines"} {
				abs, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				env.Setenv(name, abs)
			}
			return os.Mkdir(filepath.Join(env.WorkDir, ".temporary"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": cmdAwait,
			"bytes": cmdBytes,
			"exits": cmdExits,
			"empty": cmdEmpty,
			"lease": cmdLease,
			"stamp": cmdStamp,
		},
	})
}

// cmdExits runs a command and wants it to end with a status:
//
//	exits 3 testr last
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit interface{ ExitCode() int }
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if want := args[0]; fmt.Sprint(got) != want {
		ts.Fatalf("got exit status %d; want %s", got, want)
	}
}

// cmdAwait runs a command again and again, until it ends well:
//
//	await testr daemon status
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: await COMMAND...")
	}
	deadline := time.After(patience)
	for ts.Exec(args[0], args[1:]...) != nil {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			ts.Fatalf("waited in vain for %s", strings.Join(args, " "))
		}
	}
}

// cmdBytes writes a file with bytes that a script can't have, in Go's notation:
//
//	bytes FILE 'one\r\ntwo\x00'
func cmdBytes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bytes FILE TEXT")
	}
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// cmdEmpty wants a directory to be empty:
//
//	empty .temporary
func cmdEmpty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: empty DIR")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, e := range entries {
		ts.Logf("%s", e.Name())
	}
	if len(entries) > 0 {
		ts.Fatalf("%s is not empty", args[0])
	}
}

// cmdLease puts an instance into the repository, as if a run that was killed had
// got it in a directory by the hooks of a section; the id, in Go's notation, is
// unknown if it is "?":
//
//	lease DIR SECTION ID DISPOSE [FAILURE]
func cmdLease(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args) > 5 {
		ts.Fatalf("usage: lease DIR SECTION ID DISPOSE [FAILURE]")
	}
	id, err := strconv.Unquote(`"` + args[2] + `"`)
	ts.Check(err)
	l := repo.Lease{Section: strings.TrimPrefix(args[1], "DEFAULT"), ID: strings.TrimPrefix(id, "?"), Dispose: args[3],
		Dir: ts.MkAbs(args[0]), PID: 1 << 30, Since: time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)}
	if len(args) == 5 {
		l.Failure = args[4]
	}
	r, err := repo.Open(ts.MkAbs("."))
	ts.Check(err)
	_, err = r.PutLease(l)
	ts.Check(errors.Join(err, r.Close()))
}

// cmdStamp replaces, in a file, what differs from run to run:
//
//	stamp stdout shown
func cmdStamp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: stamp FROM TO")
	}
	text := ts.ReadFile(args[0])
	text = secondsPattern.ReplaceAllString(text, "S.SSSs")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// fileLines returns the lines of a file, or what is given if there is none.
func fileLines(name string, otherwise ...string) ([]string, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return otherwise, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, nil
}
