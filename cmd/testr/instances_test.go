package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// hooks are those of [DEFAULT], which write what they do to files.
const hooks = `instance_provision=n=$(cat n 2>/dev/null || echo 0)
	for i in $(seq $INSTANCE_COUNT); do n=$((n+1)); echo i-$n; done; echo $n >n
instance_execute=: $INSTANCE_ID; exec $COMMAND
instance_dispose=echo $INSTANCE_IDS >>disposed
`

// listed are the instances that are to be given back, as a machine reads them.
func (p *project) listed() (ids []string) {
	p.t.Helper()
	var document struct {
		Version   int
		Instances []jsonLease
	}
	out := p.want(0, "instances", "list", "--json").out
	if err := json.Unmarshal([]byte(out), &document); err != nil || document.Version != 1 {
		p.t.Fatalf("got version %d, %v of\n%s", document.Version, err, out)
	}
	for _, i := range document.Instances {
		if i.Running || i.PID == 0 {
			p.t.Errorf("got testr %d, running %t; want one that is gone", i.PID, i.Running)
		}
		if i.Directory != filepath.Clean(p.dir) {
			p.t.Errorf("got directory %q; want %q", i.Directory, p.dir)
		}
		if i.ID == nil {
			ids = append(ids, "?")
		} else {
			ids = append(ids, *i.ID)
		}
	}
	return ids
}

// TestKilledLeavesInstances is F2: what a testr has got that is killed is known,
// whenever that is, and given back.
func TestKilledLeavesInstances(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming + hooks, "tests": "m.C.test_waits\nm.C.test_x\n"})
	p.want(0, "init")
	b := p.start("run", "--parallel", "--concurrency", "2")
	p.awaitFile("begun")
	wantText(t, p.want(0, "instances", "list").out, "i-1")
	wantText(t, p.want(3, "instances", "dispose").err, "in use by run 0")
	b.signal(syscall.SIGKILL)
	b.wait()
	got := p.listed()
	if len(got) == 0 || got[0] != "i-1" || p.exists("disposed") {
		t.Fatalf("got %q; want what the run had got", got)
	}
	wantText(t, p.want(0, "instances", "dispose").out, "disposed of i-1\n")
	if got := p.listed(); len(got) > 0 {
		t.Errorf("got %q; want nothing", got)
	}
	if disposed := p.read("disposed"); disposed != strings.Join(got, " ")+"\n" {
		t.Errorf("got %q disposed of; want %q in one call", disposed, got)
	}
}

// TestKilledWhileProvisioning is F2, too: an id that was printed is known, and
// that a hook was at work which may have got more.
func TestKilledWhileProvisioning(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{"tests": "m.C.test_x\n",
		".testr.conf": batches +
			"instance_provision=: $INSTANCE_COUNT; echo i-1; echo i-2; echo i-3; echo >begun; printf i-; exec sleep 600\n" +
			"instance_execute=: $INSTANCE_ID; $COMMAND\ninstance_dispose=echo $INSTANCE_IDS >>disposed\n"})
	p.want(0, "init")
	b := p.start("run")
	p.awaitFile("begun")
	// One after the other is stored: where the third one can be seen, which need not
	// be committed yet, the others are.
	await(t, "the ids in the repository", func() bool { return strings.Contains(p.read(repositoryFile), `"id":"i-3"`) })
	b.signal(syscall.SIGKILL)
	b.wait()
	got := p.listed()
	if s, want := strings.Join(got, " "), "? i-1 i-2"; s != want && s != want+" i-3" {
		t.Errorf("got %q; want %q, and perhaps i-3", s, want)
	}
	res := p.want(3, "instances", "dispose")
	wantText(t, res.out, "disposed of i-1\ndisposed of i-2\n")
	wantText(t, res.err, "@1 of [DEFAULT]: a hook was at work here when its testr, process ", "testr instances forget @1")
	if disposed, want := p.read("disposed"), strings.Join(got[1:], " ")+"\n"; disposed != want {
		t.Errorf("got %q disposed of; want %q", disposed, want)
	}
	p.want(0, "instances", "forget", "@1")
	if got := p.listed(); len(got) > 0 {
		t.Errorf("got %q; want nothing", got)
	}
}
