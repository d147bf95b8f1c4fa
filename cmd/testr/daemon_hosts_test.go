package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDaemonHosts: the runs of a daemon share a connection to a host, and leave
// nothing there; a section that was changed gets a connection of its own.
func TestDaemonHosts(t *testing.T) {
	t.Parallel()
	s, dir := newDesktop(t)
	for _, relay := range []string{"no", "yes"} {
		t.Run("relay="+relay, func(t *testing.T) {
			p := newDaemonProject(t, "", "m.C.test_pass", "m.C.test_2", "m.D.test_3")
			p.env = append(p.env, "HOME="+filepath.Join(dir, "home"))
			noting := strings.Replace(batches, "=test-double $LIST", "=echo $IDOPTION >>noted; test-double $LIST", 1)
			conf := noting + fmt.Sprintf("[instance desktop]\nslots=2\ndirectory=%s\nenv.GORACE=atexit_sleep_ms=0\n"+
				"env.PATH=%s\nrelay=%s\n", p.dir, os.Getenv("PATH"), relay)
			p.write(".testr.conf", conf)
			d := p.daemon()
			_, before := s.Connections()
			connections := func(run string, want int) {
				t.Helper()
				if _, after := s.Connections(); after-before != want {
					t.Errorf("got %d connections %s; want %d", after-before, run, want)
				}
			}
			for _, args := range []string{"run", "run --parallel", "run test_3"} {
				p.want(0, strings.Fields(args)...)
			}
			file := regexp.MustCompile(`/\S+/files/\S+/ids`).FindString(p.read("noted"))
			if _, err := os.Stat(filepath.Dir(filepath.Dir(file))); err != nil {
				t.Fatalf("%v; want to know where things were brought, or this shows nothing", err)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(file)), "*"))
			if err != nil || len(left) > 1 || relay == "no" && left != nil {
				t.Errorf("got %q left there by three runs, %v; want testr itself, where there is a relay", left, err)
			}
			connections("for three runs", 1)
			wantText(t, p.want(0, "daemon", "status").out, "instance: desktop", "of [instance desktop] on desktop")
			p.write(".testr.conf", conf+"env.NEW=1\n")
			p.want(0, "run")
			connections("after a change", 2)
			p.want(0, "daemon", "stop")
			p.stopped(d)
		})
	}
}
