package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"testr/internal/protocol"
)

// The benchmarks of this file are of whole commands: each round is a process,
// from its start to its end, as a person meets it. The test binary serves as
// testr. docs/benchmarks.md has the figures and what they should be.

// benchTests is the size of a large suite.
const benchTests = 20000

// benchStream writes the stream of a large run to a file: two packets a test, one
// test in a hundred fails.
func benchStream(b *testing.B) string {
	b.Helper()
	var stream []byte
	for i := range benchTests {
		p := protocol.Packet{Has: protocol.HasTestID | protocol.HasTime, TestID: benchID(i), Runnable: true,
			Status: protocol.StatusInProgress, Time: time.Unix(1700000000, int64(i)*1e6)}
		stream = appendBench(b, stream, &p)
		p.Status, p.Time = protocol.StatusSuccess, p.Time.Add(time.Duration(500+i%1000)*time.Microsecond)
		if i%100 == 7 {
			p.Status = protocol.StatusFail
			p.Has |= protocol.HasFile | protocol.HasMIME
			p.FileName, p.MIMEType = "traceback", "text/plain;charset=utf8"
			p.Content = []byte(strings.Repeat("  File \"module.py\", line 7, in test\n", 20))
		}
		stream = appendBench(b, stream, &p)
	}
	name := filepath.Join(b.TempDir(), "stream")
	if err := os.WriteFile(name, stream, 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

func appendBench(tb testing.TB, stream []byte, p *protocol.Packet) []byte {
	tb.Helper()
	stream, err := protocol.AppendPacket(stream, p)
	if err != nil {
		tb.Fatal(err)
	}
	return stream
}

// place is a directory in which commands are run.
type place struct {
	testing.TB
	dir string
	env []string // over this process's
}

// newPlace returns a directory with an empty repository.
func newPlace(tb testing.TB) place {
	p := place{TB: tb, dir: tb.TempDir()}
	p.run(statusPassed, "", "init")
	return p
}

func (p place) command(args ...string) *exec.Cmd {
	cmd := exec.Command("testr", args...)
	cmd.Dir = p.dir
	cmd.Env = append(append(os.Environ(), "XDG_CONFIG_HOME="+p.dir, "TMPDIR="+p.dir), p.env...)
	return cmd
}

// run runs testr with a file as its stdin, wants its exit status, and returns
// what it printed.
func (p place) run(status int, stdin string, args ...string) string {
	p.Helper()
	cmd := p.command(args...)
	if stdin != "" {
		f, err := os.Open(stdin)
		if err != nil {
			p.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		cmd.Stdin = f
	}
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	p.exited(status, cmd, err, errOut.String())
	return string(out)
}

func (p place) exited(status int, cmd *exec.Cmd, err error, errOut string) {
	p.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.Fatalf("%s: %v", cmd, err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		p.Fatalf("%s: got exit status %d; want %d\n%s", cmd, got, status, errOut)
	}
}

// rounds runs a benchmark's body, and reports the median of its times, which one
// slow round doesn't move, and the fastest.
func rounds(b *testing.B, body func()) (median time.Duration) {
	b.Helper()
	var times []time.Duration
	for b.Loop() {
		before := b.Elapsed()
		body()
		times = append(times, b.Elapsed()-before)
	}
	slices.Sort(times)
	n := len(times)
	median = (times[(n-1)/2] + times[n/2]) / 2
	b.ReportMetric(milliseconds(median), "ms-median")
	b.ReportMetric(milliseconds(times[0]), "ms-min")
	return median
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// BenchmarkLoad loads 40,000 events of 20,000 tests: into an empty repository
// (new), and into one that knows the tests (again).
func BenchmarkLoad(b *testing.B) {
	stream := benchStream(b)
	b.Run("new", func(b *testing.B) {
		rounds(b, func() {
			b.StopTimer()
			p := newPlace(b)
			b.StartTimer()
			p.run(statusFailed, stream, "load")
		})
	})
	b.Run("again", func(b *testing.B) {
		p := newPlace(b)
		p.run(statusFailed, stream, "load")
		rounds(b, func() { p.run(statusFailed, stream, "load") })
	})
}

// BenchmarkQuery asks a repository with five runs of 20,000 tests.
func BenchmarkQuery(b *testing.B) {
	stream := benchStream(b)
	p := newPlace(b)
	for range 5 {
		p.run(statusFailed, stream, "load")
	}
	for _, query := range []struct {
		status int
		args   []string
	}{
		{statusPassed, []string{"version"}},
		{statusFailed, []string{"failing"}},
		{statusFailed, []string{"failing", "--list"}},
		{statusFailed, []string{"last"}},
		{statusPassed, []string{"last", "--subunit"}},
		{statusPassed, []string{"slowest"}},
		{statusPassed, []string{"stats"}},
	} {
		b.Run(strings.Join(query.args, "_"), func(b *testing.B) {
			p := place{TB: b, dir: p.dir}
			rounds(b, func() { p.run(query.status, "", query.args...) })
		})
	}
	b.Run("last_--subunit_first_byte", func(b *testing.B) {
		p := place{TB: b, dir: p.dir}
		rounds(b, p.firstByte)
	})
}

// firstByte waits for the first byte of the last run's stream.
func (p place) firstByte() {
	cmd := p.command("last", "--subunit")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = io.ReadFull(out, make([]byte, 1))
	}
	if err != nil {
		p.Fatal(err)
	}
	if b, ok := p.TB.(*testing.B); ok {
		b.StopTimer()
		defer b.StartTimer()
	}
	_ = out.Close()
	p.exited(statusPassed, cmd, cmd.Wait(), "")
}

// BenchmarkRun runs 20,000 tests that do nothing over streaming workers: for the
// first time (new), when they are listed before, and when they are known (again).
func BenchmarkRun(b *testing.B) {
	for _, slots := range []int{1, 2, 4} {
		args := []string{"run", "--parallel", "--concurrency", strconv.Itoa(slots)}
		report := func(b *testing.B, median time.Duration) {
			b.ReportMetric(benchTests/median.Seconds(), "tests/s")
		}
		b.Run(fmt.Sprintf("new/slots=%d", slots), func(b *testing.B) {
			report(b, rounds(b, func() {
				b.StopTimer()
				p := newIdlePlace(b)
				b.StartTimer()
				p.runIdle(args)
			}))
		})
		b.Run(fmt.Sprintf("again/slots=%d", slots), func(b *testing.B) {
			p := newIdlePlace(b)
			p.runIdle(args)
			report(b, rounds(b, func() { p.runIdle(args) }))
		})
	}
}

// idleConf is a configuration for tests that do nothing.
func idleConf() string {
	return fmt.Sprintf("[DEFAULT]\nworker=stream\nworker_command=idle-double\n"+
		"test_command=idle-double $LISTOPT $IDOPTION\ntest_id_option=--load-list $IDFILE\n"+
		"test_list_option=--list %d\n", benchTests)
}

// newIdlePlace is where tests do nothing.
func newIdlePlace(tb testing.TB) place {
	p := newPlace(tb)
	p.write(".testr.conf", idleConf())
	return p
}

func (p place) write(name, content string) {
	p.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
		p.Fatal(err)
	}
}

func (p place) runIdle(args []string) {
	p.Helper()
	if out := p.run(statusPassed, "", args...); !strings.Contains(out, fmt.Sprintf("Ran %d ", benchTests)) {
		p.Fatalf("the run did not run everything: %s", out)
	}
}

// BenchmarkLimits measures what no program gets below on this machine: a commit
// to disk, a round trip through two pipes to another process, a process that
// ends at once, and the checksum of every packet.
func BenchmarkLimits(b *testing.B) {
	b.Run("fsync", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "f"))
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		page := make([]byte, 4096)
		rounds(b, func() {
			_, err := f.Write(page)
			if err = errors.Join(err, f.Sync()); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("process", func(b *testing.B) {
		rounds(b, func() {
			if err := exec.Command("true").Run(); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("pipe", benchPipe)
	b.Run("crc32", func(b *testing.B) {
		content := make([]byte, 1<<20)
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			crc32.ChecksumIEEE(content)
		}
	})
}

func benchPipe(b *testing.B) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	one := []byte{'x'}
	for b.Loop() {
		_, err := in.Write(one)
		if err == nil {
			_, err = io.ReadFull(out, one)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		b.Fatal(err)
	}
}
