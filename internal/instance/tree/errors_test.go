package tree

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testr/internal/instance"
)

// Each thing that goes wrong has a message with what to do.
func testErrors(t *testing.T, w way) {
	tools := func(without ...string) []string { return []string{"PATH=" + toolDir(t, without...)} }
	tests := []struct {
		name, dir string
		env       []string
		change    func(p *pair, o *Options)
		want      []string
	}{
		{name: "no tree", change: func(_ *pair, o *Options) { o.Root += "/missing" },
			want: []string{"/missing: no such file or directory"}},
		{name: "a file for a tree", change: func(_ *pair, o *Options) { o.Root += "/a" },
			want: []string{"it is no directory"}},
		{name: "no temporary directory", change: func(_ *pair, o *Options) { o.TempDir += "/missing" },
			want: []string{"make a temporary directory"}},
		{name: "a file for a directory", dir: "file/x", want: []string{"lock the directory: exit status 1", "ile/x"}},
		{name: "a directory that can't be made", dir: "/proc/x/y", want: []string{"lock the directory", "/proc/x"}},
		{name: "no tools", env: tools("tar", "rsync"), want: []string{"there is no tar there: install it"}},
		{name: "no xargs", env: tools("xargs", "rsync"), want: []string{"there is no xargs there: install it"}},
		{name: "no sums", env: tools("sha256sum", "shasum", "openssl", "rsync"),
			want: []string{"none of sha256sum, shasum and openssl is there: install one"}},
	}
	for _, tt := range tests {
		if tt.env != nil {
			w.env = tt.env
		}
		p := newPair(t, w)
		files{"a": "1"}.write(t, p.here)
		files{"file": "x"}.write(t, filepath.Join(filepath.Dir(p.away), ".."))
		o := p.options()
		if tt.change != nil {
			tt.change(p, &o)
		}
		dir := workDir
		if tt.dir != "" {
			dir = tt.dir
		}
		_, err := Sync(t.Context(), p.inst, dir, o)
		for _, text := range append(tt.want, "bring the source tree to "+dir+": ") {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: got %v; want %q in it", tt.name, err, text)
			}
		}
	}
}

// toolDir is a directory with the tools that syncs need, and for some only of
// them.
func toolDir(t *testing.T, without ...string) string {
	t.Helper()
	dir := t.TempDir()
	all := " sh mkdir uname cat readlink wc rm rmdir mv xargs tar sha256sum rsync "
	for _, name := range without {
		all = strings.Replace(all, " "+name+" ", " ", 1)
	}
	for name := range strings.FieldsSeq(all) {
		if exe, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(exe, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// noisy is an instance whose shells say hello.
type noisy struct{ instance.Instance }

// Start starts a command that says hello first.
func (n noisy) Start(ctx context.Context, c instance.Command) (instance.Process, error) {
	c.Args = append([]string{"sh", "-c", `printf 'Welcome!\nlast login: yesterday'; exec "$@"`, "sh"}, c.Args...)
	return n.Instance.Start(ctx, c)
}

// A shell's start-up files may write something. Rsync can't stand it: tar can.
func testNoise(t *testing.T, w way) {
	p := newPair(t, w)
	before.write(t, p.here)
	for range 2 {
		stats, err := Sync(t.Context(), noisy{p.inst}, workDir, p.options())
		if err != nil {
			t.Fatal(err)
		}
		want(t, p.away, before)
		if warned := strings.Join(stats.Warnings, ""); stats.By != byTar || (w.by == byRsync) != (warned != "") ||
			(warned != "" && !strings.Contains(warned, "rsync was not used")) {
			t.Errorf("got it by %s, with %q", stats.By, warned)
		}
	}
}

// Progress goes up to what the figures say, at most ten times a second.
func testProgress(t *testing.T, w way) {
	p := newPair(t, w)
	before.write(t, p.here)
	p.sync()
	after.write(t, p.here)
	var all []Progress
	o := p.options()
	o.Progress = func(now Progress) { all = append(all, now) }
	stats := p.syncWith(o)
	if len(all) == 0 || len(all) > 2+int(stats.Took/(100*time.Millisecond)) {
		t.Fatalf("got %d calls in %s", len(all), stats.Took)
	}
	for i, now := range all {
		if i > 0 && (now.Files < all[i-1].Files || now.Bytes < all[i-1].Bytes) {
			t.Errorf("got %+v after %+v", now, all[i-1])
		}
		if now.Files > now.AllFiles || now.Bytes > now.AllBytes {
			t.Errorf("got %+v; want no more than all", now)
		}
	}
	if last := all[len(all)-1]; last.Files != stats.Sent || last.Bytes != stats.Bytes || stats.Bytes != 350_004 {
		t.Errorf("got %+v at the end; want what %+v says", last, stats)
	}
}
