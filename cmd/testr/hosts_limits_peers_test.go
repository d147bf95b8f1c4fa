//go:build peers

package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"testr/internal/lab"
)

// meeting are n tests that end when all of them have begun.
func meeting(n int) map[string]string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "m.C%02d.test_meets\n", i)
	}
	return map[string]string{"tests": b.String(), "meet": strconv.Itoa(n)}
}

// TestMaxSessions: a host has as many workers at once as it has slots, however few
// sessions its server allows on a connection.
func TestMaxSessions(t *testing.T) {
	t.Parallel()
	for _, sessions := range []int{1, 2} {
		t.Run(strconv.Itoa(sessions), func(t *testing.T) {
			t.Parallel()
			few := lab.Options{Host: func(int) lab.HostOptions { return lab.HostOptions{MaxSessions: sessions} }}
			l, p := newLab(t, 1, few, meeting(5))
			p.write(".testr.conf", streaming+p.sections(l, "slots=5"))
			p.want(0, "init")
			res := p.want(0, "run", "--parallel")
			wantText(t, res.out, "Ran 5 tests", "Tests by host: host1 5\n")
			if strings.Contains(res.err, "warning") {
				t.Errorf("got\n%s\nwant no warning", res.err)
			}
		})
	}
}

// TestMaxStartups: many sections may name a host whose server turns away those
// that log in while others do.
func TestMaxStartups(t *testing.T) {
	t.Parallel()
	picky := lab.Options{Host: func(int) lab.HostOptions { return lab.HostOptions{MaxStartups: "3:100:3"} }}
	_, p := newLab(t, 1, picky, meeting(8))
	conf := streaming
	for i := range 8 {
		conf += p.section("place"+strconv.Itoa(i), "host=host1")
	}
	p.write(".testr.conf", conf)
	p.want(0, "init")
	res := p.want(0, "run", "--parallel")
	wantText(t, res.out, "Ran 8 tests", "Tests by host: host1 8\n")
	if strings.Contains(res.err, "warning") {
		t.Errorf("got\n%s\nwant no warning", res.err)
	}
}
