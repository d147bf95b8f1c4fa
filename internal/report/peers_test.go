//go:build peers

package report

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// peer runs Debian's testrepository in a repository of its own.
type peer struct{ dir string }

func newPeer(t *testing.T) peer {
	t.Helper()
	p := peer{t.TempDir()}
	if err := os.WriteFile(filepath.Join(p.dir, ".testr.conf"), []byte("[DEFAULT]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.testr(t, nil, "init")
	return p
}

// testr returns what it prints; that tests failed is no failure of it.
func (p peer) testr(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("/usr/bin/testr", args...)
	cmd.Dir, cmd.Stdin = p.dir, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "PYTHONIOENCODING=utf8")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("testr %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

func (p peer) load(t *testing.T, stream string) string {
	t.Helper()
	data, err := os.ReadFile(stream)
	if err != nil {
		t.Fatal(err)
	}
	return p.testr(t, data, "load")
}

// TestTextPeer compares with what testrepository prints for the same streams:
// while it loads them, and when it is asked again.
func TestTextPeer(t *testing.T) {
	p := newPeer(t)
	var previous *Previous
	for id, name := range []string{"sample", "plain", "dies"} {
		stream := filepath.Join("testdata", name+".subunit")
		events := readStream(t, stream, "worker-0")
		ours := showRun(t, events, TextOptions{}, Summary{RunID: id, Previous: previous})
		loaded := p.load(t, stream)
		last := p.testr(t, nil, "last")
		if name == "dies" {
			// testrepository shows the test that never ended only afterwards, and
			// has no line that says so.
			loaded = last
			ours = strings.Replace(ours, "1 test did not complete\n", "", 1)
		}
		if name == "sample" {
			// Its storage, subunit 1, loses a parameter of a MIME type.
			last = strings.Replace(last, `a="b,x=y"`, `a="b"; x="y"`, 1)
		}
		if diff := gocmp.Diff(normal(withoutTime(loaded)), normal(withoutTime(ours))); diff != "" {
			t.Errorf("testr load of %s (-testrepository +testr):\n%s", name, diff)
		}
		if diff := gocmp.Diff(normal(last), normal(ours)); diff != "" {
			t.Errorf("testr last of %s (-testrepository +testr):\n%s", name, diff)
		}
		if name == "plain" {
			comparePeerFailing(t, p, id, events)
		}
		outcomes := fold(t, events)
		previous = &Previous{Counts: outcomes.Counts(), Duration: outcomes.Span()}
	}
}

// comparePeerFailing compares `failing`, which shows failures of several runs
// as if they were one.
func comparePeerFailing(t *testing.T, p peer, id int, events []event.Event) {
	t.Helper()
	all := fold(t, events)
	var failing []event.Event
	var ids []string
	for _, e := range events {
		test := all.Get("", e.Packet.TestID)
		if test == nil || !test.Failed() {
			continue
		}
		failing = append(failing, e)
		if e.Packet.Status == protocol.StatusFail {
			ids = append(ids, test.ID)
		}
	}
	ours := showRun(t, failing, TextOptions{}, Summary{RunID: id})
	if diff := gocmp.Diff(normal(p.testr(t, nil, "failing")), normal(ours)); diff != "" {
		t.Errorf("testr failing (-testrepository +testr):\n%s", diff)
	}
	var list bytes.Buffer
	if err := WriteIDs(&list, ids, false); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(p.testr(t, nil, "failing", "--list"), list.String()); diff != "" {
		t.Errorf("testr failing --list (-testrepository +testr):\n%s", diff)
	}
}

// TestListsPeer compares slowest, stats and commands.
func TestListsPeer(t *testing.T) {
	p := newPeer(t)
	stream := filepath.Join("testdata", "sample.subunit")
	p.load(t, stream)
	var timings []Timing
	for _, test := range fold(t, readStream(t, stream)).Tests() {
		timings = append(timings, Timing{ID: test.ID, Duration: test.Duration})
	}
	slices.SortStableFunc(timings, func(a, b Timing) int { return cmp.Compare(b.Duration, a.Duration) })
	var out bytes.Buffer
	if err := WriteSlowest(&out, timings, false); err != nil {
		t.Fatal(err)
	}
	// Tests that took the same time stand in no order there.
	if diff := gocmp.Diff(sorted(p.testr(t, nil, "slowest", "--all")), sorted(out.String())); diff != "" {
		t.Errorf("testr slowest (-testrepository +testr):\n%s", diff)
	}

	out.Reset()
	if err := WriteValues(&out, Value{"runs", 1}); err != nil {
		t.Fatal(err)
	}
	if theirs := p.testr(t, nil, "stats"); theirs != out.String() {
		t.Errorf("testr stats: got %q; want %q", out.String(), theirs)
	}

	theirs := p.testr(t, nil, "commands")
	var rows [][]string
	for i, line := range strings.Split(strings.TrimSpace(theirs), "\n") {
		if name, about, ok := strings.Cut(line, " "); ok && i != 1 {
			rows = append(rows, []string{name, strings.TrimSpace(about)})
		}
	}
	out.Reset()
	if err := WriteTable(&out, rows, false); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(theirs, out.String()); diff != "" {
		t.Errorf("testr commands (-testrepository +testr):\n%s", diff)
	}
}

var secondsRE = regexp.MustCompile(` in [0-9.]+s( \([-+][0-9.]+s\))?`)

// withoutTime takes the seconds away, for which testrepository takes its own
// clock into account while it loads packets without a timestamp.
func withoutTime(text string) string { return secondsRE.ReplaceAllString(text, " in Ns") }

// normal sorts tags, which testrepository prints in no order.
func normal(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "tags: "); ok {
			tags := strings.Fields(rest)
			slices.Sort(tags)
			lines[i] = "tags: " + strings.Join(tags, " ")
		}
	}
	return strings.Join(lines, "\n")
}

func sorted(text string) []string {
	return slices.Sorted(strings.Lines(text))
}
