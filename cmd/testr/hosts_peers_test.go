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
// machine, on hosts by SSH, behind relays, and by hooks that use ssh, in both ways to
// hand out tests; and last tells which host ran what.
func TestSameOutcomesEverywhere(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 3, lab.Options{}, map[string]string{"tests": suite(100), "provision": provisionScript})
	check(t, os.Chmod(p.path("provision"), 0o755))
	byHook := func(h *lab.Host) string {
		return fmt.Sprintf("[instance %s]\nslots=2\ninstance_provision=./provision $INSTANCE_COUNT\n"+
			"instance_execute=exec ssh -F %s %s \"cd '%s' && PATH='%s' exec\" $COMMAND\n"+
			"instance_dispose=cd slots && rm $INSTANCE_IDS\n", h.Name, l.Config, h.Name, p.dir, os.Getenv("PATH"))
	}
	for _, workers := range []string{streaming, batches} {
		var want map[string]string
		for _, way := range []struct {
			name, elsewhere string
			section         func(*lab.Host) string
		}{
			{"here", "", func(*lab.Host) string { return "" }},
			{"ssh", "Tests by host: host", func(h *lab.Host) string { return p.section(h.Name, "slots=2") }},
			{"relay", "Tests by host: host", func(h *lab.Host) string { return p.section(h.Name, "slots=2", "relay=yes") }},
			{"hooks", "Tests by host: ", byHook},
		} {
			conf := workers
			for _, h := range l.Hosts {
				conf += way.section(h)
			}
			p.write(".testr.conf", conf)
			res := p.testr("run", "--parallel", "--force-init")
			got := outcomesOf(t, p.want(0, "last", "--subunit").out)
			if want == nil {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: outcomes (-here +there):\n%s\n%s", way.name, diff, res.err)
			}
			if last := p.want(res.status, "last"); way.elsewhere != "" {
				wantText(t, last.out, way.elsewhere, "host: ")
			}
			if left := p.slots(); len(left) > 0 {
				t.Errorf("%s: got instances %q left; want none", way.name, left)
			}
			if p.exists("pwned") {
				t.Fatalf("%s: an id was run", way.name)
			}
		}
		if len(want) < 100 {
			t.Errorf("got %d outcomes; want those of the suite", len(want))
		}
	}
}
