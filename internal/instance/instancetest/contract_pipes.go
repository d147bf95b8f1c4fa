package instancetest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"testr/internal/instance"
)

// Every byte goes through, in both directions, more than pipes hold.
func (c contract) testEcho(t *testing.T) {
	i := c.instance(t, Settings{})
	for _, n := range []int{0, 1, 4 << 20} {
		got := Output(t, i, Program(t, "echo"), Pattern(n))
		if got.Stdout != string(Pattern(n)) || got.Stderr != "" || !got.Status.Success() {
			t.Errorf("%d bytes: got %d bytes back, stderr %q, %v", n, len(got.Stdout), got.Stderr, got.Status)
		}
	}
}

func (c contract) testStdinFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(name, Pattern(100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	cmd := Program(t, "echo")
	cmd.Stdin = f
	p := Start(t.Context(), t, c.instance(t, Settings{}), cmd)
	if p.Stdin() != nil {
		t.Error("Stdin is a pipe; want nil for a command that reads a file")
	}
	got, err := Finish(p, nil)
	if err != nil || got.Stdout != string(Pattern(100_000)) {
		t.Errorf("got %d bytes, %v; want the file's", len(got.Stdout), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Errorf("the file was closed: %v", err)
	}
}

// F17: output and error are apart, and neither holds up the other.
func (c contract) testFlood(t *testing.T) {
	const stdout, stderr = 3 << 20, 8 << 20
	got := Output(t, c.instance(t, Settings{}), Program(t, "write", strconv.Itoa(stdout), strconv.Itoa(stderr)), nil)
	if got.Stdout != string(Pattern(stdout)) || got.Stderr != string(Pattern(stderr)) {
		t.Errorf("got %d and %d bytes; want %d and %d of the pattern", len(got.Stdout), len(got.Stderr), stdout, stderr)
	}
}

// The end of the output is not the end of the process.
func (c contract) testReadBeforeWait(t *testing.T) {
	p := Start(t.Context(), t, c.instance(t, Settings{}), Program(t, "mute"))
	if c.traits.Shell {
		if err := p.Stdin().Close(); err != nil {
			t.Error(err)
		}
	}
	for name, r := range map[string]io.Reader{"stdout": p.Stdout(), "stderr": p.Stderr()} {
		if got, err := io.ReadAll(r); err != nil || string(got) != name {
			t.Errorf("%s: got %q, %v; want its name", name, got, err)
		}
	}
	if err := p.Stdin().Close(); err != nil { // which the process waits for
		t.Error(err)
	}
	if got, err := p.Wait(); err != nil || got != (instance.ExitStatus{Code: 3}) {
		t.Errorf("got %v, %v; want exit status 3", got, err)
	}
}

// What fits the pipe is there after the end, however late one reads.
func (c contract) testReadAfterWait(t *testing.T) {
	p := Start(t.Context(), t, c.instance(t, Settings{}), Program(t, "write", "60000", "50000"))
	if status, err := p.Wait(); err != nil || !status.Success() {
		t.Fatalf("got %v, %v; want success", status, err)
	}
	stdout, outErr := io.ReadAll(p.Stdout())
	stderr, errErr := io.ReadAll(p.Stderr())
	if outErr != nil || errErr != nil || !bytes.Equal(stdout, Pattern(60000)) || !bytes.Equal(stderr, Pattern(50000)) {
		t.Errorf("got %d bytes, %v, and %d bytes, %v; want 60000 and 50000 of the pattern",
			len(stdout), outErr, len(stderr), errErr)
	}
	if n, err := p.Stdout().Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("reading on: got %d, %v; want 0, EOF", n, err)
	}
}

func (c contract) testWriteToDead(t *testing.T) {
	p := Start(t.Context(), t, c.instance(t, Settings{}), Program(t, "exit", "0"))
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := p.Stdin().Write([]byte("hello")); err == nil {
			t.Error("writing to a process that is gone gave no error")
		}
	}
	for range 2 {
		if err := p.Stdin().Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func (c contract) testFifty(t *testing.T) {
	i := c.instance(t, Settings{})
	echo := Program(t, "echo")
	var running sync.WaitGroup
	for n := range 50 {
		running.Go(func() {
			text := bytes.Repeat([]byte(fmt.Sprintln("process", n)), 20_000)
			p, err := i.Start(t.Context(), echo)
			if err != nil {
				t.Errorf("process %d: %v", n, err)
				return
			}
			got, err := Finish(p, text)
			if err != nil || got.Stdout != string(text) || got.Stderr != "" || !got.Status.Success() {
				t.Errorf("process %d: got %d bytes, stderr %q, %v, %v; want %d bytes",
					n, len(got.Stdout), got.Stderr, got.Status, err, len(text))
			}
		})
	}
	running.Wait()
}
