package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"testr/internal/protocol"
)

// holding is a testr load that has a repository open, with a run that goes on until
// its stdin ends.
type holding struct {
	*exec.Cmd
	stdin  io.WriteCloser
	errOut bytes.Buffer
}

// hold has somebody hold the repository, and waits until they answer.
func (p place) hold() *holding {
	p.Helper()
	h := &holding{Cmd: p.command("load", "--subunit")}
	h.Stderr = &h.errOut
	stdin, err := h.StdinPipe()
	if err == nil {
		h.stdin, err = stdin, h.Start()
	}
	if err == nil {
		first := protocol.Packet{Has: protocol.HasTestID, TestID: "m.C.first", Status: protocol.StatusSuccess}
		_, err = stdin.Write(appendBench(p, nil, &first)) // by which it knows what kind of stream it is
	}
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		_ = h.Process.Kill()
		_ = h.Wait()
	})
	for deadline := time.After(10 * time.Second); ; {
		out, err := p.command("last").CombinedOutput()
		if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
			p.Fatal(err)
		}
		if strings.Contains(string(out), "goes on") {
			return h
		}
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			p.Fatalf("nobody answers\n%s", h.errOut.String())
		}
	}
}

// BenchmarkQueryDuringRun asks a repository with five runs of 20,000 tests, with a
// run that goes on, by its socket, and without one; by turns, so that the two have
// the same machine.
func BenchmarkQueryDuringRun(b *testing.B) {
	stream := benchStream(b)
	file, socket := newPlace(b), newPlace(b)
	for range 5 {
		file.run(statusFailed, stream, "load")
		socket.run(statusFailed, stream, "load")
	}
	socket.hold()
	for _, query := range []struct {
		status int
		args   []string
	}{
		{statusFailed, []string{"failing", "--list"}},
		{statusFailed, []string{"failing"}},
		{statusFailed, []string{"last", "--quiet"}},
		{statusPassed, []string{"slowest"}},
		{statusPassed, []string{"last", "--subunit"}},
	} {
		b.Run(strings.Join(query.args, "_"), func(b *testing.B) {
			var took [2][]time.Duration
			for b.Loop() {
				for i, p := range []place{file, socket} {
					begin := time.Now()
					place{TB: b, dir: p.dir}.run(query.status, "", query.args...)
					took[i] = append(took[i], time.Since(begin))
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, unit := range []string{"ms-file", "ms-socket"} {
				slices.Sort(took[i])
				b.ReportMetric(milliseconds(took[i][len(took[i])/2]), unit)
			}
		})
	}
}

// BenchmarkFailover kills a supervisor while its run is followed, and waits for the
// follower, who has all that was stored then, and the run's end. Somebody has to
// close that run, which takes longer the more it has.
func BenchmarkFailover(b *testing.B) {
	stream, err := os.ReadFile(benchStream(b))
	if err != nil {
		b.Fatal(err)
	}
	for _, part := range []int{100, 1} {
		b.Run(fmt.Sprintf("tests=%d", benchTests/part), func(b *testing.B) {
			from := protocol.NewReader(bytes.NewReader(stream))
			var some []byte
			for range 2 * benchTests / part {
				p, err := from.ReadPacket()
				if err != nil {
					b.Fatal(err)
				}
				some = appendBench(b, some, p)
			}
			benchFailover(b, some, benchTests/part/100)
		})
	}
}

func benchFailover(b *testing.B, stream []byte, failures int) {
	var took []time.Duration
	for b.Loop() {
		p := newPlace(b)
		h := p.hold()
		follower := p.command("last", "--follow", "--quiet")
		out, err := follower.StdoutPipe()
		if err == nil {
			err = follower.Start()
		}
		if err == nil {
			_, err = h.stdin.Write(stream)
		}
		if err != nil {
			b.Fatal(err)
		}
		for seen, buf := 0, make([]byte, 1<<16); seen < failures; {
			n, err := out.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			seen += bytes.Count(buf[:n], []byte("FAIL: "))
		}
		begin := time.Now()
		if err := h.Process.Kill(); err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, out)
		p.exited(statusFailed, follower, errors.Join(err, follower.Wait()), "")
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(took[0]), "ms-min")
	b.ReportMetric(milliseconds(took[len(took)/2]), "ms-median")
	b.ReportMetric(milliseconds(took[len(took)-1]), "ms-max")
}
