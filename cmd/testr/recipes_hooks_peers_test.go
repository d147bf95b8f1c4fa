//go:build peers

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
		{words: []string{"printf", "<%s>", "a b", "", "$HOME", "`'\"", "*", "--", "x\n"},
			out: "<a b><><$HOME><`'\"><*><--><x\n>"},
		{words: []string{"cat"}, stdin: "\x00\x03\x04\x1b\r\n\xff no newline", out: "\x00\x03\x04\x1b\r\n\xff no newline"},
		{words: []string{"cat"}, stdin: strings.Repeat("0123456\n", 1<<17), out: strings.Repeat("0123456\n", 1<<17)},
	} {
		cmd := r.execute(names[1], append([]string{"--"}, tt.words...)...)
		cmd.Stdin = strings.NewReader(tt.stdin)
		res := r.run(cmd)
		if res.status != tt.status || res.out != tt.out {
			t.Errorf("%q: got exit status %d, %.100q; want %d, %.100q\n%s",
				tt.words, res.status, res.out, tt.status, tt.out, res.err)
		}
	}
	res := r.run(r.execute(names[0], "--", "sh", "-c", "echo out; echo err >&2"))
	if res.out != "out\n" || !strings.Contains(res.err, "err\n") {
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
	cmd := r.execute(name, "--", "sh", "-c",
		`printf 'name? '; name=$(dd bs=1 count=2 2>/dev/null); printf 'hello %s' "$name"; cat`)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	b := r.startCommand(cmd)
	for _, tt := range []struct{ wait, answer string }{
		{"name? ", "me"}, {"name? hello me", "!"}, {"name? hello me!", ""},
	} {
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
	files := []string{"a b/it's $x/one", "a b/-two", "three"}
	for i := range files {
		files[i] = filepath.Join(base, files[i])
	}
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
		{"with all that it started", "sleep 598 & setsid sleep 598 & echo ready; wait", "ready\n",
			128 + int(syscall.SIGTERM)},
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
