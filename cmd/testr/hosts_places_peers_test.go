//go:build peers

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"testr/internal/lab"
)

// patientSuite is tests of Python's unittest that pass when there is a file "go".
const patientSuite = `import os, time, unittest


class C(unittest.TestCase):
    def setUp(self):
        while not os.path.exists("go"):
            time.sleep(0.01)

    def test_a(self): pass
    def test_b(self): pass
    def test_c(self): pass
`

// unittests has Python's unittest run what there is in test*.py.
const unittests = `[DEFAULT]
test_command=python3 -m unittest discover $LISTOPT $IDOPTION
test_list_option=--list
test_id_option=--load-list $IDFILE
`

// unfit is a host on which the tests can't run, host2, and why.
type unfit struct {
	name  string
	conf  string // what is before the sections; empty for the double
	files map[string]string
	lines []string // of the section
	told  string   // to people
	more  []string // that they are told, too
	ready func(t *testing.T, p *project, h *lab.Host)
}

// unfits are such hosts; canary is a file that nobody may make.
func unfits(canary string) []unfit {
	const none = "instance bad: directory %s does not exist on host2\n"
	bait := "/nowhere/$(touch " + canary + ")'; touch " + canary + "; '`touch " + canary + "`"
	python := map[string]string{"test_patient.py": patientSuite}
	return []unfit{
		{name: "no directory", lines: []string{"directory=/nowhere/at/all"},
			told: fmt.Sprintf(none, "/nowhere/at/all")},
		{name: "a file for a directory", lines: []string{"directory=/etc/passwd"},
			told: "instance bad: directory /etc/passwd on host2 can't be used: it is no directory\n"},
		{name: "a directory with commands in it", lines: []string{"directory=" + bait},
			told: fmt.Sprintf(none, bait)},
		{name: "failing setup", lines: []string{"setup=echo no virtual environment >&2; exit 3"},
			told: "testr: instance bad: setup failed in ", more: []string{"no virtual environment\n", " with exit status 3\n"}},
		{name: "no python", conf: unittests, files: python, lines: []string{"env.PATH=/nowhere"},
			told: "exec: python3: not found\n", more: []string{"exit status 127"}},
		{name: "full disk", conf: unittests, files: python, ready: fillDisk,
			told: "instance bad was lost: bring testr_worker.py there: cat: write error: No space left on device\n"},
	}
}

// fillDisk leaves a host no room in /tmp, but for the directories of the test.
func fillDisk(t *testing.T, p *project, h *lab.Host) {
	t.Helper()
	pids, err := h.Processes()
	check(t, err)
	if len(pids) != 1 {
		t.Fatalf("got processes %v on %s; want its sshd", pids, h.Name)
	}
	script := `set -e
for dir; do mkdir -p /mnt/$$$dir; mount --bind $dir /mnt/$$$dir; done
mount -t tmpfs -o size=16k none /tmp
for dir; do mkdir -p $dir; mount --bind /mnt/$$$dir $dir; done
`
	out, err := exec.Command("nsenter", "-t", strconv.Itoa(pids[0]), "-m", "sh", "-c", script, "sh",
		filepath.Dir(h.Dir), p.dir).CombinedOutput()
	if err != nil {
		t.Fatalf("fill /tmp of %s: %v\n%s", h.Name, err, out)
	}
}

// TestUnfitHost: a host where the tests can't run is told of, with what is wrong
// there; they run elsewhere. Nothing that the configuration has as a name is run.
func TestUnfitHost(t *testing.T) {
	t.Parallel()
	canary := filepath.Join(t.TempDir(), "pwned")
	for _, u := range unfits(canary) {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			if u.conf == "" {
				u.conf, u.files = streaming, map[string]string{"tests": holders(3)}
			}
			l, p := newLab(t, 2, lab.Options{}, u.files)
			if u.ready != nil {
				u.ready(t, p, l.Hosts[1])
			}
			bad := p.section("bad", append(u.lines, "host=host2")...)
			for _, line := range u.lines {
				if key, _, _ := strings.Cut(line, "="); strings.Count(bad, "\n"+key+"=") > 1 { // in the place of the usual
					bad = regexp.MustCompile("\n"+regexp.QuoteMeta(key)+"=.*").ReplaceAllString(bad, "") + line + "\n"
				}
			}
			p.write(".testr.conf", u.conf+p.section("host1")+bad)
			p.want(0, "init")
			for range 2 { // without what is remembered of the listing, and with it
				b := p.start("run", "--parallel")
				b.awaitSaid(u.told)
				p.write("go", "")
				res := b.wait()
				if res.status != 0 {
					t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
				}
				wantText(t, res.err, u.more...)
				if n := hostsOf(t, p.want(0, "last").out); n["host1"] != 3 {
					t.Errorf("got %v tests by host; want 3 on host1\n%s", n, res.err)
				}
				p.remove("go")
			}
			p.write(".testr.conf", u.conf+bad)
			for _, args := range []string{"list-tests", "run --parallel --force-init"} {
				res := p.want(3, strings.Fields(args)...)
				wantText(t, res.err, append(u.more, u.told, "instance bad")...)
			}
		})
	}
	t.Cleanup(func() {
		if _, err := os.Stat(canary); err == nil {
			t.Error("what is a name was run")
		}
	})
}

// TestGivenUp: of an instance whose workers never get to a test people are told
// that, and why.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	_, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": holders(3)})
	p.write(".testr.conf", streaming+p.section("host1")+p.section("host2", "slots=2", "setup=false"))
	p.want(0, "init")
	b := p.start("run", "--parallel")
	told := "testr: warning: instance host2 gets no more tests: its workers end before they begin one: exit status 1\n"
	b.awaitSaid(told)
	p.write("go", "")
	res := b.wait()
	if res.status != 0 {
		t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
	wantOnce(t, p.want(0, "last").err, told)
}
