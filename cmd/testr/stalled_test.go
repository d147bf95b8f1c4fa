package main

import (
	"fmt"
	"io"
	"os"
	"testing"
)

// TestStalledReader is F16: a pager or terminal that stops reading holds up no
// test. When it goes on it gets everything.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	tests := ""
	for i := range 20 {
		tests += fmt.Sprintf("m.C.test_%02d_bulky\n", i)
	}
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": tests + "m.C.test_z_waits\n"})
	p.want(0, "init")
	cmd := p.command("testr", "run", "--subunit")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	_ = writer.Close()
	p.awaitFile("begun") // the last one, and 5 MB of the others wait for their reader
	p.write("go", "")
	printed, err := io.ReadAll(reader)
	if err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if got := statusOf(cmd.ProcessState); got != 1 {
		t.Errorf("got exit status %d; want 1", got)
	}
	if len(printed) < 5<<20 {
		t.Errorf("got %d bytes; want all of them", len(printed))
	}
	if last := p.want(0, "last", "--subunit").out; last != string(printed) {
		t.Errorf("got %d bytes of the run as it went on, and %d of it afterwards; want the same", len(printed), len(last))
	}
}
