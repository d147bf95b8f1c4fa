//go:build peers

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/lab"
)

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
