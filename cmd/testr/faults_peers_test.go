//go:build peers

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"testr/internal/protocol"
	"testr/internal/repo"
)

// TestRunOnFailingDisk is F24 and F13: whichever sync or write fails, once or from
// then on, a run whose tests all pass doesn't end as if they had, and what it had
// printed is stored.
func TestRunOnFailingDisk(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"fdatasync:error=EIO", "pwrite64:error=ENOSPC"} {
		for _, persistent := range []string{"", "+"} {
			t.Run(fault+persistent, func(t *testing.T) {
				n := 1
				for runWithFault(t, fmt.Sprintf("inject=%s:when=%d%s", fault, n, persistent)) {
					n += 2
				}
				if n == 1 {
					t.Error("nothing failed, or this shows nothing")
				}
			})
		}
	}
}

// runWithFault has a run meet a fault, and reports whether it did.
func runWithFault(t *testing.T, inject string) bool {
	t.Helper()
	tests := ""
	for i := range 12 {
		tests += fmt.Sprintf("m.C.test_%02d_takes_3\n", i)
	}
	c := &crashing{project: newProject(t, map[string]string{".testr.conf": streaming, "tests": tests}),
		rnd: rand.New(rand.NewPCG(1, 1)), tally: &crashTally{}, settled: map[string]protocol.Status{}}
	c.want(0, "init")
	res := c.run(c.command("strace", "-f", "-qq", "-e", "trace=fdatasync,pwrite64", "-e", "signal=none", "-s", "1",
		"-e", inject, "-o", "trace", "testr", "run", "--subunit"))
	met := strings.Contains(c.read("trace"), "(INJECTED)")
	wantNoPanic(t, inject, res.err)
	switch {
	case !met && res.status != 0:
		t.Errorf("%s: got exit status %d without a fault; want 0\n%s", inject, res.status, res.err)
	case met && res.status != 3:
		t.Errorf("%s: got exit status %d; want 3\n%s", inject, res.status, res.err)
	case met:
		wantText(t, res.err, "testr: error: ")
	}
	info := c.latest()
	if info.ID < 0 {
		if res.out != "" {
			t.Errorf("%s: something was printed, and there is no run", inject)
		}
		return met
	}
	if run := c.events(info); !strings.HasPrefix(run.stream, res.out) {
		t.Errorf("%s: %d bytes of a stream were printed, and are not the first of the %d that are stored", inject,
			len(res.out), len(run.stream))
	}
	if info.State != repo.Finished && !met {
		t.Errorf("%s: the run is %v", inject, info.State)
	}
	return met
}
