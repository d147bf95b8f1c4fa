package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// oldRuns writes a directory as testrepository makes it, with so many runs of so
// many tests.
func oldRuns(p *project, dir string, runs, tests int) {
	p.write(dir+"/format", "1\n")
	for run := range runs {
		var b strings.Builder
		for i := range tests {
			id, outcome := fmt.Sprintf("pkg.mod_%d.Case.test_%d", i/100, i), "successful"
			if i%100 == run%100 {
				outcome = "failure"
			}
			at := time.Date(2011, 5, 17+run, 8, 0, i, 0, time.UTC)
			const form = "2006-01-02 15:04:05.000000Z"
			fmt.Fprintf(&b, "time: %s\ntest: %s\ntime: %s\n%s: %s [ multipart\n]\n", at.Format(form), id,
				at.Add(time.Millisecond).Format(form), outcome, id)
		}
		p.write(fmt.Sprintf("%s/%d", dir, run), b.String())
		id := fmt.Sprintf("pkg.mod_0.Case.test_%d", run%100)
		p.write(dir+"/failing", "test: "+id+"\nfailure: "+id+"\n")
	}
}

// TestImportKilled: an import that is killed, at whichever moment, and begun again
// until it comes to its end, leaves what one does that nobody disturbed.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	const runs = 12
	p := newProject(t, map[string]string{".testr.conf": streaming, "whole/.testr.conf": streaming})
	oldRuns(p, "old/.testrepository", runs, 400)
	p.want(0, "-d", "whole", "import", "--force-init", "old")

	p.want(0, "init")
	kills := 0
	for step := 2 * time.Millisecond; ; step = step * 6 / 5 {
		ctx, cancel := context.WithTimeout(t.Context(), step)
		cmd := p.command("testr", "import", "old")
		killed := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...) // it is killed with SIGKILL
		killed.Dir, killed.Env = cmd.Dir, cmd.Env
		out, err := killed.CombinedOutput()
		over := ctx.Err() != nil
		cancel()
		if err == nil {
			break
		}
		if !over {
			t.Fatalf("got %v before it was killed:\n%s", err, out)
		}
		kills++
	}
	t.Logf("it was killed %d times", kills)
	if kills == 0 {
		t.Error("it was never killed: this shows nothing")
	}
	if got := p.want(0, "stats").out; !strings.Contains(got, fmt.Sprintf("runs=%d\n", runs)) {
		t.Errorf("got %q; want %d runs", got, runs)
	}
	for _, query := range [][]string{{"last"}, {"last", "--subunit"}, {"failing", "--list"}, {"slowest", "--all"}} {
		status := 1
		if query[0] == "slowest" {
			status = 0
		}
		if len(query) > 1 && query[1] == "--subunit" {
			status = 0
		}
		want := p.want(status, append([]string{"-d", "whole"}, query...)...).out
		got := p.want(status, query...).out
		if query[0] == "last" && status == 1 {
			got, want = withoutID(got), withoutID(want) // numbers are not used again
		}
		if got != want {
			t.Errorf("testr %s: not as of an import that was not killed; got\n%.2000s\nwant\n%.2000s",
				strings.Join(query, " "), got, want)
		}
	}
}

// withoutID leaves the line with the number of the run out.
func withoutID(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "id=") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// TestInitOffersImport: at a terminal init asks, and takes nothing but yes for it.
func TestInitOffersImport(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{"y": "runs=2\n", "Yes": "runs=2\n", "n": "runs=0\n", "": "runs=0\n"} {
		p := newProject(t, map[string]string{".testr.conf": streaming})
		oldRuns(p, ".testrepository", 2, 3)
		cmd := p.command("testr", "init")
		f, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(answer + "\n"); err != nil {
			t.Fatal(err)
		}
		give := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		var shown bytes.Buffer
		_, _ = shown.ReadFrom(f) // the terminal's end is an error
		if err := cmd.Wait(); err != nil {
			t.Errorf("%q: got %v:\n%s", answer, err, shown.String())
		}
		give.Stop()
		_ = f.Close()
		if !strings.Contains(shown.String(), "Take over the runs of .testrepository? [y/N]") {
			t.Errorf("%q: got\n%s\nwant the question", answer, shown.String())
		}
		if got := p.want(0, "stats").out; !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %q; want %q", answer, got, want)
		}
	}
}
