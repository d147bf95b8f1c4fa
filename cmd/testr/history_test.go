package main

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestLoadKeepsToLimits: what is loaded counts among the runs that the configuration
// keeps, whether a daemon stores it or not.
func TestLoadKeepsToLimits(t *testing.T) {
	t.Parallel()
	p := newDaemonProject(t, streaming+"keep_runs=2\n", "m.C.test_1")
	p.want(0, "run")
	p.write("stream", p.want(0, "last", "--subunit").out)
	ids := regexp.MustCompile(`(?m)^\d+`)
	load := func(want string) {
		t.Helper()
		p.want(0, "load", "stream")
		if got := strings.Join(ids.FindAllString(p.want(0, "history", "list").out, -1), " "); got != want {
			t.Errorf("got the runs %s; want %s", got, want)
		}
	}
	load("0 1")
	load("1 2")
	d := p.daemon()
	load("2 3")
	p.want(0, "daemon", "stop")
	p.stopped(d)
}

// TestHistoryDuringARun: what changes the history has the testr do it that holds the
// repository; and how a run ended stands in it.
func TestHistoryDuringARun(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming, "go": "",
		"tests": "m.C.test_1\nm.C.test_2_waits\nm.C.test_3\n"})
	p.want(0, "init")
	for range 3 {
		p.want(0, "run")
	}
	p.remove("go", "begun")
	b := p.start("run")
	p.awaitFile("begun")
	wantText(t, p.want(0, "history", "list").out, "\n2 ", "\n3 ", "goes on")
	wantText(t, p.want(0, "history", "remove", "0").out, "removed 1 run\n")
	wantText(t, p.want(3, "history", "remove", "3").err, "run 3 is not over: a run is going on\n",
		"hint: ask again when it has ended\n")
	wantText(t, p.want(3, "history", "remove", "0").err, "run 0: no such run")
	wantText(t, p.want(0, "history", "prune", "--keep-runs", "1").out, "removed 1 run\n")
	wantText(t, p.want(3, "history", "prune", "--compact").err, "going on")
	wantText(t, p.want(3, "history", "show", "3").err, "run 3 goes on: testr last --follow")
	b.signal(syscall.SIGINT)
	b.signal(syscall.SIGTERM) // ends the worker at once
	b.wait()
	if out := p.want(0, "history", "list").out; strings.Contains(out, "\n1 ") {
		t.Errorf("got the run that was removed in\n%s", out)
	}
	wantText(t, p.want(0, "history", "list").out, "\n2 ", "\n3 ", "incomplete: interrupted by SIGINT")
	wantText(t, p.want(3, "history", "show", "3").out, "ended: interrupted by SIGINT\n", "Ran 1 ")
	wantText(t, p.want(0, "history", "show", "3", "--json").out, `"why": "interrupted by SIGINT"`, `"not_run": `)
	wantText(t, p.want(0, "history", "prune", "--keep-runs", "1", "--compact").out,
		"removed 1 run\n", "the repository has ")
}
