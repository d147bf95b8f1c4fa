package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"testr/internal/protocol"
)

// BenchmarkLatency is how long after its worker wrote an outcome it comes out of testr
// run --subunit, stored: with workers as fast as they can be, and with one that takes
// its time.
func BenchmarkLatency(b *testing.B) {
	for _, c := range []struct {
		name           string
		workers, tests int
		pause          time.Duration
	}{
		{"paced", 1, 500, 2 * time.Millisecond},
		{"workers=1", 1, benchTests, 0},
		{"workers=4", 4, benchTests, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPlace(b)
			p.write(".testr.conf", fmt.Sprintf("[DEFAULT]\ntest_command=:\nworker=stream\n"+
				"worker_command=idle-double --pause %v\ntest_list_option=\n", c.pause))
			p.write("list", listOf(c.tests))
			var late []time.Duration
			for b.Loop() {
				late = append(late, p.outcomesLate("run", "--subunit", "--parallel",
					"--concurrency", strconv.Itoa(c.workers), "--load-list", "list")...)
			}
			if len(late) == 0 {
				b.Fatal("got no outcomes")
			}
			slices.Sort(late)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(milliseconds(late[len(late)/2]), "p50-ms")
			b.ReportMetric(milliseconds(late[len(late)*99/100]), "p99-ms")
			b.ReportMetric(milliseconds(late[len(late)-1]), "max-ms")
		})
	}
}

func listOf(tests int) (list string) {
	for i := range tests {
		list += benchID(i) + "\n"
	}
	return list
}

// outcomesLate runs a command that writes a stream, and returns how old each outcome
// is when it has arrived.
func (p place) outcomesLate(args ...string) (late []time.Duration) {
	p.Helper()
	cmd := p.command(args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	r := protocol.NewReader(out)
	for {
		packet, err := r.ReadPacket()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.Fatal(err)
		}
		if packet.Status.Final() {
			late = append(late, time.Since(packet.Time))
		}
	}
	if err := cmd.Wait(); err != nil {
		p.Fatal(err)
	}
	return late
}
