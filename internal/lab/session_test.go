package lab_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"testr/internal/lab"
)

func TestServerRunsCommands(t *testing.T) {
	s := newServer(t, lab.ServerOptions{Env: []string{"GREETING=hello"}})
	client := dial(t, s)
	tests := map[string]struct {
		command, stdin string
		stdout, stderr string
		status         int
		signal         string
	}{
		"output":      {command: "echo out; echo err >&2", stdout: "out\n", stderr: "err\n"},
		"stdin":       {command: "cat", stdin: "a\x00b\xffc", stdout: "a\x00b\xffc"},
		"status":      {command: "exit 7", status: 7},
		"signal":      {command: "kill -TERM $$", signal: "TERM"},
		"killed":      {command: "kill -KILL $$", signal: "KILL"},
		"environment": {command: `echo "$GREETING $HOME"; pwd`, stdout: "hello " + s.Home() + "\n" + s.Home() + "\n"},
		"session": {
			command: `read -r _ _ _ _ group session _ </proc/$$/stat; test $$ = $group && test $$ = $session`,
		},
		"unread stdin": {command: "echo done", stdin: strings.Repeat("x", 1<<20), stdout: "done\n"},
		"much":         {command: "head -c 5000000 /dev/zero", stdout: strings.Repeat("\x00", 5_000_000)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			session, err := client.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			session.Stdin, session.Stdout, session.Stderr = strings.NewReader(test.stdin), &stdout, &stderr
			err = session.Run(test.command)
			status, signal := 0, ""
			if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
				status, signal = exit.ExitStatus(), exit.Signal()
			} else if err != nil && !errors.Is(err, io.EOF) { // stdin that nobody has read
				t.Fatal(err)
			}
			if signal != test.signal || test.signal == "" && status != test.status {
				t.Errorf("got status %d, signal %q; want %d, %q", status, signal, test.status, test.signal)
			}
			if diff := cmp.Diff(test.stdout, stdout.String()); diff != "" {
				t.Errorf("stdout (-want +got):\n%.500s", diff)
			}
			if diff := cmp.Diff(test.stderr, stderr.String()); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServerKeepsCommandsThatLoseTheirConnection(t *testing.T) {
	s := newServer(t, lab.ServerOptions{})
	client := dial(t, s)
	dir := t.TempDir()
	done := filepath.Join(dir, "done")
	_, line := start(t, client, `echo $$; cat >/dev/null; trap "" PIPE
		while echo x 2>/dev/null; do sleep 0.01; done; echo broken >`+done+`; exec sleep 600`)
	pid := pidOf(t, line)
	s.Drop()
	eventually(t, "stdin ends, and stdout is broken", func() bool {
		text, _ := os.ReadFile(done)
		return string(text) == "broken\n"
	})
	if !alive(pid) {
		t.Error("the command ended with its connection; want it to live on")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the command lives after Close")
	}
}

func TestServerCloseKillsWhatCommandsHaveLeft(t *testing.T) {
	s := newServer(t, lab.ServerOptions{})
	client := dial(t, s)
	// The command ends; what it has started went into a session of its own.
	session, line := start(t, client, `setsid sh -c 'echo $$; exec sleep 600 >/dev/null 2>&1' &`)
	pid := pidOf(t, line)
	if err := session.Wait(); err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatal("the leftover ended with its command")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the leftover ends", func() bool { return !alive(pid) })
}

func TestServerKeepsTheChannelOfInheritedPipes(t *testing.T) {
	s := newServer(t, lab.ServerOptions{})
	client := dial(t, s)
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := session.Start("(read x <" + gate + "; echo late) & exit 3"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- session.Wait() }()
	f, err := os.OpenFile(gate, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Errorf("the session ended with %v while somebody had its stdout", err)
	default:
	}
	_, _ = f.WriteString("go\n")
	_ = f.Close()
	if text, err := io.ReadAll(stdout); string(text) != "late\n" || err != nil {
		t.Errorf("got %q, %v; want what was written after the command's end", text, err)
	}
	var exit *ssh.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("got %v; want exit status 3", err)
	}
}

func TestServerSignals(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("refuse=%v", refuse), func(t *testing.T) {
			s := newServer(t, lab.ServerOptions{RefuseSignals: refuse})
			client := dial(t, s)
			session, _ := start(t, client, `sh -c 'echo ready; exec sleep 600'; exit 9`)
			ok, err := session.SendRequest("signal", true, ssh.Marshal(struct{ Signal string }{"KILL"}))
			if err != nil || ok == refuse {
				t.Fatalf("got %v, %v; want %v", ok, err, !refuse)
			}
			if refuse {
				return
			}
			var exit *ssh.ExitError // of the group's leader
			if err := session.Wait(); !errors.As(err, &exit) || exit.Signal() != "KILL" {
				t.Errorf("got %v; want signal KILL", err)
			}
		})
	}
}
