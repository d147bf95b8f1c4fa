package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestInstancesUsedAgain: run --until-failure gets its instances once, for all of
// its runs, and gives them back in the end.
func TestInstancesUsedAgain(t *testing.T) {
	t.Parallel()
	s, dir := newDesktop(t)
	hooks := `[instance hooks]
type=hook
slots=2
instance_provision=seq $INSTANCE_COUNT | sed s/^/i/ | tee -a provisioned
instance_execute=echo $INSTANCE_ID >>used; $COMMAND
instance_dispose=echo $INSTANCE_IDS >>disposed
`
	host := fmt.Sprintf("[instance desktop]\nslots=2\ndirectory=%%s\nenv.GORACE=atexit_sleep_ms=0\nenv.PATH=%s\n",
		os.Getenv("PATH"))
	for _, tt := range []struct{ name, conf string }{
		{"hooks", hooks},
		{"ssh", host},
		{"relay", host + "relay=yes\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newProject(t, map[string]string{"tests": "m.C.test_third\nm.C.test_2\nm.D.test_3\nm.D.test_4\n"})
			p.env = append(p.env, "HOME="+filepath.Join(dir, "home"))
			p.write(".testr.conf", streaming+strings.ReplaceAll(tt.conf, "%s", p.dir))
			p.want(0, "init")
			_, before := s.Connections()
			res := p.want(1, "run", "--parallel", "--until-failure")
			wantText(t, res.out, "PASSED (id=0)\n", "PASSED (id=1)\n", "FAILED (id=2, failures=1 (+1))\n")
			if tt.name != "hooks" {
				if _, after := s.Connections(); after-before != 1 {
					t.Errorf("got %d connections for three runs; want one", after-before)
				}
				return
			}
			if got := strings.Fields(p.read("provisioned")); !slices.Equal(got, []string{"i1", "i2"}) {
				t.Errorf("got the instances %q; want two, once", got)
			}
			if got := p.read("disposed"); got != "i1 i2\n" {
				t.Errorf("got %q given back; want both, once", got)
			}
			if got := strings.Fields(p.read("used")); len(got) < 6 {
				t.Errorf("got commands on %q; want two in each of three runs, at least", got)
			}
		})
	}
}

// TestNoMoreInstancesThanTests: hooks are asked for no more instances than there
// are tests to run, where that is known.
func TestNoMoreInstancesThanTests(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{"tests": "m.C.test_fail\nm.C.test_2_fail\nm.D.test_3\nm.D.test_4\n",
		".testr.conf": streaming + `test_run_concurrency=echo 4
instance_provision=echo $INSTANCE_COUNT >>asked; seq $INSTANCE_COUNT
instance_execute=: $INSTANCE_ID; $COMMAND
instance_dispose=: $INSTANCE_IDS
`})
	p.want(0, "init")
	p.want(1, "run", "--parallel")
	p.want(1, "run", "--parallel", "--failing")
	p.want(1, "run", "--failing")
	if got := strings.Fields(p.read("asked")); !slices.Equal(got, []string{"4", "2", "1"}) {
		t.Errorf("got %q instances asked for; want 4, 2 and 1", got)
	}
}

// TestThirdSignal: who has no patience with a hook that gives instances back ends
// that with the third signal. The verdict stands, and the next run gives back what
// is left.
func TestThirdSignal(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{"tests": "m.C.test_1\n", ".testr.conf": streaming + `instance_provision=echo one
instance_execute=: $INSTANCE_ID; $COMMAND
instance_dispose=echo $INSTANCE_IDS >>disposing; test -e quick || exec sleep 600
`})
	p.want(0, "init")
	b := p.start("run")
	await(t, "the hook", func() bool { return p.exists("disposing") && p.read("disposing") == "one\n" })
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} { // equal ones may become one
		b.signal(sig)
	}
	res := b.wait()
	if res.status != 0 {
		t.Errorf("got exit status %d; want 0\n%s", res.status, res.err)
	}
	wantText(t, res.err, "testr: warning: dispose of one: instance_dispose: it was ended because nobody waits for it")
	p.write("quick", "")
	p.want(0, "run")
	if got := strings.Fields(p.read("disposing")); !slices.Equal(got, []string{"one", "one", "one"}) {
		t.Errorf("got %q given back; want it once in vain, and then for each run", got)
	}
	wantText(t, p.want(0, "instances", "list").out, "No instances are to be given back.\n")
}
