package main

import (
	"syscall"
	"testing"
)

// TestDoctorInterrupted: what a hook got is given back when doctor is
// interrupted.
func TestDoctorInterrupted(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{".testr.conf": streaming + `
[instance vm]
instance_provision=echo vm-$INSTANCE_COUNT
instance_execute=touch begun; exec sleep 1000 # $INSTANCE_ID $COMMAND
instance_dispose=echo $INSTANCE_IDS >>disposed
`})
	p.want(0, "init")
	b := p.start("doctor")
	p.awaitFile("begun")
	b.signal(syscall.SIGINT)
	res := b.wait()
	if res.status != 130 {
		t.Errorf("got exit status %d; want 130\n%s\n%s", res.status, res.out, res.err)
	}
	wantText(t, res.err, "interrupted by SIGINT")
	wantText(t, res.out, "vm: dispose")
	if got := p.read("disposed"); got != "vm-1\n" {
		t.Errorf("got %q disposed of; want vm-1", got)
	}
	wantText(t, p.want(0, "instances", "list").out, "No instances are")
}
