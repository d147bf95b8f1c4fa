package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"testr/internal/repo"
)

// leaveRun leaves a run in the repository that was killed before anything of it
// was stored.
func (p *project) leaveRun(info repo.RunInfo) {
	p.t.Helper()
	r, err := repo.Open(p.dir)
	if err == nil {
		_, err = r.Begin(info)
		err = errors.Join(err, r.Close())
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// TestResumeOfResumed is F1: what was killed before it began anything is resumed
// like any other run, and so is what it was resuming.
func TestResumeOfResumed(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming,
		"tests": "m.C.test_1_fail\nm.C.test_2_waits\nm.C.test_3\n"})
	p.want(0, "init")
	p.leaveRun(repo.RunInfo{Start: time.Now(), Host: "here"})
	b := p.start("run", "--resume") // which has all three
	p.awaitFile("begun")
	await(t, "the failure", func() bool { return strings.Contains(b.out.String(), "FAIL: m.C.test_1_fail\n") })
	await(t, "the end of the listing", func() bool { return len(living(p)) == 1 })
	b.signal(syscall.SIGKILL)
	b.wait()
	p.write("go", "")
	await(t, "the end of the workers", func() bool { return len(living(p)) == 0 })
	for range 2 {
		p.leaveRun(repo.RunInfo{Start: time.Now(), Host: "here", Selection: []string{"--resume"}})
	}
	wantText(t, p.want(0, "run", "--resume").out, "Ran 2 ", "PASSED (id=4")
	wantText(t, p.want(0, "run", "--resume").out, "left nothing to run")

	// A stream that was loaded says nothing of what else there was to be.
	p.leaveRun(repo.RunInfo{Start: time.Now(), Command: strings.Fields("load")})
	wantText(t, p.want(3, "run", "--resume").err, "run 5 does not say what it was asked for")
}
