//go:build !race

// The race detector's own memory is several times that of what it watches.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"testr/internal/protocol"
)

// memoryCeiling is how much memory, in MB, no command takes, however long a
// stream is.
const memoryCeiling = 150

// Memory doesn't grow with the stream: see BenchmarkMemory, which has 1 GB.
func TestMemory(t *testing.T) {
	p := newPlace(t)
	for _, c := range memoryCommands(100) {
		if got := p.peak(c.status, c.feed, c.args...); got > memoryCeiling {
			t.Errorf("testr %v: %.0f MB of anonymous memory; want %d at most", c.args, got, memoryCeiling)
		}
	}
}

// TestMemoryQuotas is S21: neither one huge attachment nor tests with 10,000 tags
// each take more memory than anything else.
func TestMemoryQuotas(t *testing.T) {
	for name, feed := range map[string]func(io.Writer) error{
		"attachment": func(w io.Writer) error { return writeAttachment(w, 200) },
		"tags":       func(w io.Writer) error { return writeTags(w, 300, 10000) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			for _, c := range memoryCommands(0) {
				if c.feed != nil {
					c.feed = feed
				}
				if got := p.peak(c.status, c.feed, c.args...); got > memoryCeiling {
					t.Errorf("testr %v: %.0f MB of anonymous memory; want %d at most", c.args, got, memoryCeiling)
				}
			}
		})
	}
}

// writeAttachment writes one test that fails, with an attachment of so many MiB.
func writeAttachment(w io.Writer, size int) error {
	p := protocol.Packet{Has: protocol.HasTestID, TestID: benchID(0), Runnable: true}
	out := protocol.NewWriter(w)
	large := bytes.Repeat([]byte("a line of a log that says little\n"), 1<<15)
	for range size {
		if err := writeFiles(out, p, large, nil, 0); err != nil {
			return err
		}
	}
	p.Status = protocol.StatusFail
	return out.WritePacket(&p)
}

// writeTags writes tests that fail, with so many tags each, no two of which are
// the same.
func writeTags(w io.Writer, tests, tags int) error {
	out := protocol.NewWriter(w)
	for i := range tests {
		p := protocol.Packet{Has: protocol.HasTestID | protocol.HasTags, TestID: benchID(i), Runnable: true,
			Status: protocol.StatusFail, Tags: make([]string, tags)}
		for j := range p.Tags {
			p.Tags[j] = strconv.Itoa(i*tags + j)
		}
		if err := out.WritePacket(&p); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkMemory loads streams of 100 MB and 1 GB, and shows them again. MB-anon
// is the most anonymous memory that a command had at a time: not the map of the
// repository, which is the page cache's.
func BenchmarkMemory(b *testing.B) {
	for _, size := range []int{100, 1000} {
		p := newPlace(b)
		for _, c := range memoryCommands(size) {
			b.Run(fmt.Sprintf("%s/%dMB", c.name, size), func(b *testing.B) {
				b.SetBytes(int64(size) << 20)
				peak := 0.0
				for range b.N { // Loop would run the longest ones more than once
					peak = max(peak, place{TB: b, dir: p.dir}.peak(c.status, c.feed, c.args...))
				}
				b.ReportMetric(peak, "MB-anon")
			})
		}
	}
}

type memoryCommand struct {
	name   string
	status int
	feed   func(io.Writer) error
	args   []string
}

func memoryCommands(size int) []memoryCommand {
	return []memoryCommand{
		{"load", statusFailed, func(w io.Writer) error { return writeMixed(w, size<<20) }, []string{"load"}},
		{"last", statusFailed, nil, []string{"last"}},
		{"last_--subunit", statusPassed, nil, []string{"last", "--subunit"}},
		{"failing", statusFailed, nil, []string{"failing"}},
	}
}

// writeMixed writes a stream of about size bytes: 2,000 tests with attachments of
// 1 MiB and small pieces of a log, one in fifty failing. What grows with the
// size is how many of these there are, not how many tests.
func writeMixed(w io.Writer, size int) error {
	const tests, piecesEach = 2000, 100
	large := make([]byte, 1<<20)
	for i := range large { // text that compresses badly
		large[i] = "0123456789abcdef"[uint32(i)*2654435761>>28]
	}
	small := bytes.Repeat([]byte("a line of a log that says little\n"), 10)
	out := protocol.NewWriter(w)
	owed := 0
	for i := range tests {
		p := protocol.Packet{Has: protocol.HasTestID | protocol.HasTime, TestID: benchID(i), Runnable: true,
			Status: protocol.StatusInProgress, Time: time.Unix(1700000000+int64(i), 0)}
		if err := out.WritePacket(&p); err != nil {
			return err
		}
		for owed += size / tests; owed > 0; owed -= len(large) + piecesEach*len(small) {
			copy(large, strconv.Itoa(owed+i))
			if err := writeFiles(out, p, large, small, piecesEach); err != nil {
				return err
			}
		}
		if p.Status = protocol.StatusSuccess; i%50 == 0 {
			p.Status = protocol.StatusFail
		}
		if err := out.WritePacket(&p); err != nil {
			return err
		}
	}
	return nil
}

func writeFiles(out *protocol.Writer, p protocol.Packet, large, small []byte, pieces int) error {
	p.Status, p.Has = protocol.StatusNone, p.Has|protocol.HasFile|protocol.HasMIME
	p.MIMEType, p.FileName, p.Content = "text/plain;charset=utf8", "attachment", large
	err := out.WritePacket(&p)
	for p.FileName, p.Content = "log", small; err == nil && pieces > 0; pieces-- {
		err = out.WritePacket(&p)
	}
	return err
}

// peak runs testr, wants its exit status, and returns how much anonymous memory
// it had at most, in MB, looking every millisecond.
func (p place) peak(status int, feed func(io.Writer) error, args ...string) (mb float64) {
	p.Helper()
	cmd := p.command(args...)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	fed := make(chan error, 1)
	if feed == nil {
		fed <- nil
	} else {
		in, err := cmd.StdinPipe()
		if err != nil {
			p.Fatal(err)
		}
		go func() { fed <- errors.Join(feed(in), in.Close()) }()
	}
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			mb = max(mb, anonymous(p, cmd))
		case err := <-ended:
			p.exited(status, cmd, err, errOut.String())
			if err := <-fed; err != nil {
				p.Fatal(err)
			}
			return mb
		}
	}
}

// anonymous is how much anonymous memory a process has, in MB; nothing, if it
// has ended.
func anonymous(tb testing.TB, cmd *exec.Cmd) float64 {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, ok := bytes.Cut(status, []byte("RssAnon:"))
	if !ok {
		return 0
	}
	kB := 0
	if _, err := fmt.Sscan(string(after), &kB); err != nil {
		tb.Fatal(err)
	}
	return float64(kB) / 1024
}
