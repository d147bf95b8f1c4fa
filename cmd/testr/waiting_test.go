package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestInterruptWaiting: a pipe that nobody writes, or writes to no end, holds nobody
// who wants testr to end.
func TestInterruptWaiting(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"list-tests --load-list pipe", "run --load-list pipe", "run --plan pipe",
		"load pipe silent"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, map[string]string{".testr.conf": streaming})
			p.want(0, "init")
			for _, name := range []string{"pipe", "silent"} {
				if err := syscall.Mkfifo(p.path(name), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b := p.start(strings.Fields(args)...)
			var pipe *os.File
			await(t, "testr to open the pipe", func() bool {
				var err error
				pipe, err = os.OpenFile(p.path("pipe"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
				return err == nil
			})
			b.signal(syscall.SIGTERM)
			wantInterrupted(t, b)
			_ = pipe.Close()
		})
	}
	for _, args := range []string{"subunit to-json", "subunit 1to2", "subunit from-json"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, nil)
			cmd := p.command("testr", strings.Fields(args)...)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			b := p.startCommand(cmd)
			first := "text\n"
			if strings.Contains(args, "from") {
				first = `{"test_id": "text"}` + "\n"
			}
			if _, err := stdin.Write([]byte(first)); err != nil {
				t.Fatal(err)
			}
			await(t, "what testr makes of it", func() bool { return b.out.String() != "" })
			b.signal(syscall.SIGTERM)
			wantInterrupted(t, b)
			_ = stdin.Close()
		})
	}
}

func wantInterrupted(t *testing.T, b *background) {
	t.Helper()
	res := b.wait()
	if res.status != 143 || !strings.Contains(res.err, "interrupted by SIGTERM\n") {
		t.Errorf("got exit status %d; want 143\n%s%s", res.status, res.out, res.err)
	}
}
