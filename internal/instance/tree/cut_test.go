package tree

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"testr/internal/instance"
)

// before and after are a tree, and what changes in it.
var (
	before = files{"a": "1", "b/c": "2", "d/e/f": "3", "g": "->a", "h": strings.Repeat("h", 50_000)}
	after  = files{
		"a": "5", "b": "", "d": "->a", "g": "", "g/i": "6", "h": "+" + strings.Repeat("i", 50_000),
		"j": strings.Repeat("j", 300_000), "k/l/m": "7", "k/n\nn": "8",
	}
)

// A sync that is cut off at any point leaves nothing running, and the next one
// makes the trees equal, even if the new files have gone again.
func testCut(t *testing.T, w way) {
	total := func() int64 {
		p := newPair(t, w)
		before.write(t, p.here)
		p.sync()
		after.write(t, p.here)
		f := &faulty{Instance: p.inst, left: 1 << 40}
		if _, err := Sync(t.Context(), f, workDir, p.options()); err != nil {
			t.Fatal(err)
		}
		return f.total
	}()
	const points = 9
	for i := range int64(points) {
		p := newPair(t, w)
		before.write(t, p.here)
		p.sync()
		made := files{"d/e/made": "x"}
		if i%2 == 1 {
			made.write(t, p.away)
			files{"d": "", "d/o": "9"}.write(t, p.here) // where after has a link, for which there is no room then
		}
		after.write(t, p.here)
		if i%2 == 1 {
			files{"d": "", "d/o": "9"}.write(t, p.here)
		}
		f := &faulty{Instance: p.inst, left: total * i / points}
		o := p.options()
		_, err := Sync(t.Context(), f, workDir, o)
		var lost *instance.LostError
		if !errors.As(err, &lost) || !errors.Is(err, errCut) {
			t.Errorf("cut after %d of %d bytes: got %v; want a loss", f.left, total, err)
		}
		p.nothingRuns(o.TempDir)
		if i%3 == 2 {
			files{"j": "", "k": ""}.write(t, p.here)
		}
		p.sync()
		all := read(t, p.here)
		if i%2 == 1 {
			all["d/e/made"] = "x"
		}
		want(t, p.away, all)
	}
}

// A sync that is cancelled says why, and leaves nothing.
func testCancel(t *testing.T, w way) {
	p := newPair(t, w)
	before.write(t, p.here)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Sync(ctx, p.inst, workDir, p.options()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want %v", err, context.Canceled)
	}
	p.sync()
	goroutines := runtime.NumGoroutine()
	for after := range int64(6) {
		p := newPair(t, w)
		before.write(t, p.here)
		ctx, cancel := context.WithCancelCause(t.Context())
		o := p.options()
		f := &faulty{Instance: p.inst, left: after * 150, cut: cancel}
		if _, err := Sync(ctx, f, workDir, o); !errors.Is(err, errCut) {
			t.Errorf("got %v; want %v", err, errCut)
		}
		p.nothingRuns(o.TempDir)
	}
	// A goroutine's last statement comes before its end.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("got %d goroutines; want %d as before", runtime.NumGoroutine(), goroutines)
		}
	}
}

// nothingRuns checks that nothing is left of a sync: no process, no temporary
// file, no lock.
func (p *pair) nothingRuns(temp string) {
	p.t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, link := range dirs {
		if dir, err := os.Readlink(link); err == nil && strings.HasPrefix(dir, filepath.Dir(p.away)) {
			b, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			p.t.Errorf("in %s there runs %q", dir, b)
		}
	}
	if entries, err := os.ReadDir(temp); err != nil || len(entries) > 0 {
		p.t.Errorf("got %v, %v in the temporary directory; want nothing", entries, err)
	}
	if _, err := os.Lstat(filepath.Join(p.away, ".testr/sync/lock")); err == nil {
		p.t.Error("the lock is there still")
	}
}

// A list that was cut off is not followed: half a name is another one.
func TestCutLists(t *testing.T) {
	p := newPair(t, way{by: byTar})
	files{"a": "1"}.write(t, p.here)
	p.sync()
	files{"made": "x"}.write(t, p.away)
	record, err := os.ReadFile(filepath.Join(p.away, ".testr/synced"))
	if err != nil {
		t.Fatal(err)
	}
	there := newThere(p.inst, workDir)
	for name, command := range map[string]instance.Command{
		"changes": there.command(changeAll, changeScript, "12"),
		"names":   there.command(noteAll, "12"),
	} {
		err := there.run(t.Context(), job{what: "cut", command: command, stdin: writeAll([]byte("ga\x00gmade"))})
		if err == nil || !strings.Contains(err.Error(), "was cut off") {
			t.Errorf("%s: got %v; want it refused", name, err)
		}
	}
	want(t, p.away, files{"a": "1", "made": "x"})
	if got, err := os.ReadFile(filepath.Join(p.away, ".testr/synced")); err != nil || string(got) != string(record) {
		t.Errorf("got %q, %v; want the record as it was", got, err)
	}
}
