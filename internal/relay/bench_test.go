package relay

import (
	"io"
	"strconv"
	"sync"
	"testing"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/protocol"
	"testr/internal/worker"
)

// benchPackets are what a worker says of one test.
func benchPackets() []*protocol.Packet {
	id := "nova.tests.unit.compute.test_compute.ComputeTestCase.test_something"
	now := time.Unix(1_700_000_000, 123_456_789)
	return []*protocol.Packet{
		{Has: protocol.HasTestID | protocol.HasTime, TestID: id, Time: now, Status: protocol.StatusInProgress},
		{Has: protocol.HasTestID | protocol.HasTime, TestID: id, Time: now, Status: protocol.StatusSuccess},
	}
}

// BenchmarkPackets is packets from workers, straight through a pipe and through
// a relay in a process of its own.
func BenchmarkPackets(b *testing.B) {
	read := func(b *testing.B, start func(n int) []instance.Process) {
		const workers = 4
		var running sync.WaitGroup
		begun := time.Now()
		for _, p := range start(b.N/workers + 1) {
			running.Go(func() {
				var r interface {
					ReadPacket() (*protocol.Packet, error)
				}
				r, framed := p.(*Process)
				if !framed {
					src := worker.NewStallReader(p.Stdout(), time.Second)
					defer src.Join()
					r = protocol.NewReader(src)
				}
				for {
					if _, err := r.ReadPacket(); err != nil {
						break
					}
				}
			})
			running.Go(func() { _, _ = io.Copy(io.Discard, p.Stderr()) })
		}
		running.Wait()
		b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "packets/s")
	}
	starter := func(b *testing.B, i instance.Instance) func(n int) []instance.Process {
		return func(n int) (started []instance.Process) {
			for range 4 {
				started = append(started, instancetest.Start(b.Context(), b, i, instancetest.Program(b, "speak", strconv.Itoa(n))))
			}
			return started
		}
	}
	b.Run("pipe", func(b *testing.B) {
		l := relayConfig{}.local()
		defer func() { _, _ = l.Close() }()
		read(b, starter(b, instancetest.One(b, l)))
	})
	b.Run("relay", func(b *testing.B) {
		c, _ := executed(b, relayConfig{})
		read(b, starter(b, instancetest.One(b, c)))
	})
}
