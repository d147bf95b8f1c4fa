//go:build peers

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// BenchmarkRecipe measures what the pages of docs/instances say of the engines
// that are here: how long it takes until there is an instance, until a command on
// one has written something, and until it has answered.
func BenchmarkRecipe(b *testing.B) {
	for _, start := range []func(testing.TB) *engine{slurmEngine, podmanEngine, sshEngine} {
		e := start(b)
		b.Run(e.name, func(b *testing.B) { benchmarkRecipe(b, e) })
	}
}

func benchmarkRecipe(b *testing.B, e *engine) {
	dir := b.TempDir()
	copyRecipe(b, e.name, dir)
	file := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 50_000), 0o600); err != nil {
		b.Fatal(err)
	}
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), e.env...)
		return cmd
	}
	provision := func() string {
		out, err := command("sh", "-c", provisionLine(readDocument(b, filepath.Join(dir, ".testr.conf")), 1)).Output()
		if err != nil {
			b.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	dispose := func(name string) {
		if err := command("ci/"+e.name+"/dispose", name).Run(); err != nil {
			b.Error(err)
		}
	}
	execute := func(args ...string) *exec.Cmd { return command("ci/"+e.name+"/execute", args...) }
	b.Run("provision", func(b *testing.B) {
		for range b.N {
			name := provision()
			b.StopTimer()
			dispose(name)
			b.StartTimer()
		}
	})
	name := provision()
	defer dispose(name)
	for _, tt := range []struct {
		name  string
		words []string
	}{{"start", []string{"--", "cat"}}, {"start-with-file", []string{file, "--", "cat"}}} {
		b.Run(tt.name, func(b *testing.B) {
			for range b.N {
				c := talk(b, execute(slices.Insert(tt.words, 0, name)...))
				c.ask()
				c.end()
			}
		})
	}
	b.Run("round-trip", func(b *testing.B) {
		c := talk(b, execute(name, "--", "cat"))
		c.ask()
		b.ResetTimer()
		for range b.N {
			c.ask()
		}
		b.StopTimer()
		c.end()
	})
}

// talker is a command that answers what it is told.
type talker struct {
	b   *testing.B
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

func talk(b *testing.B, cmd *exec.Cmd) *talker {
	b.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return &talker{b, cmd, in, out}
}

func (c *talker) ask() {
	c.b.Helper()
	buf := []byte{'x'}
	if _, err := c.in.Write(buf); err != nil {
		c.b.Fatal(err)
	}
	if n, err := c.out.Read(buf); n != 1 {
		c.b.Fatalf("got %d bytes, %v; want the answer", n, err)
	}
}

func (c *talker) end() {
	c.b.Helper()
	if err := c.in.Close(); err != nil {
		c.b.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.b.Fatal(err)
	}
}
