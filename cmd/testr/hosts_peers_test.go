//go:build peers

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/lab"
)

// newLab makes hosts, and a project whose user knows them by their names.
func newLab(t *testing.T, hosts int, opts lab.Options, files map[string]string) (*lab.Lab, *project) {
	t.Helper()
	l, err := lab.Start(t.Context(), t.TempDir(), hosts, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	p := newProject(t, files)
	p.env = append(p.env, "HOME="+l.Home)
	return l, p
}

// section is one of [instance NAME] that runs the test double where the project
// is: hosts of the lab have its files.
func (p *project) section(name string, lines ...string) string {
	return fmt.Sprintf("[instance %s]\ndirectory=%s\nenv.PATH=%s\n%s\n", name, p.dir, os.Getenv("PATH"),
		strings.Join(lines, "\n"))
}

// suite is tests of all kinds, for the double.
func suite(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "m.C.test_%03d\n", i)
	}
	b.WriteString("m.C.test_fail\nm.C.test_skip\nm.C.test_killed\nm.C.test_\\nodd'; touch pwned; '\n")
	return b.String()
}

// TestSameOutcomesEverywhere: the same suite has the same outcomes on this
// machine, on hosts by SSH, and behind relays; and last tells which host ran what.
func TestSameOutcomesEverywhere(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 3, lab.Options{}, map[string]string{"tests": suite(100)})
	var want map[string]string
	for _, tt := range []struct{ name, more string }{
		{"here", ""},
		{"ssh", "slots=2\n"},
		{"relay", "slots=2\nrelay=yes\n"},
	} {
		conf := streaming
		if tt.more != "" {
			for _, h := range l.Hosts {
				conf += p.section(h.Name, tt.more)
			}
		}
		p.write(".testr.conf", conf)
		res := p.want(1, "run", "--parallel", "--force-init")
		got := outcomesOf(t, p.want(0, "last", "--subunit").out)
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: outcomes (-here +there):\n%s\n%s", tt.name, diff, res.err)
		}
		last := p.want(1, "last")
		if tt.more != "" {
			wantText(t, last.out, "Tests by host: host", "host: host")
		}
		if p.exists("pwned") {
			t.Fatalf("%s: an id was run", tt.name)
		}
		t.Logf("%s: %s\n%s", tt.name, res.out, res.err)
	}
}
