//go:build peers

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/sshdial"
	"testr/internal/instance/sshhost"
	"testr/internal/lab"
	"testr/internal/protocol"
	"testr/internal/worker"
)

// The benchmarks of hosts, which scripts/bench-hosts runs: BenchmarkHosts…. They
// report medians, and in "-min" and "-max" the fastest and the slowest round.

// spread is what was measured, by its name with the unit.
type spread map[string][]float64

func (s spread) add(name string, value float64) { s[name] = append(s[name], value) }

// ms adds the milliseconds since begin, and returns now.
func (s spread) ms(name string, begin time.Time) time.Time {
	now := time.Now()
	s.add(name+"-ms", milliseconds(now.Sub(begin)))
	return now
}

// report reports everything in place of the time of a round.
func (s spread) report(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	for name, values := range s {
		b.ReportMetric(median(values), name)
		b.ReportMetric(slices.Min(values), name+"-min")
		b.ReportMetric(slices.Max(values), name+"-max")
	}
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// benchLab starts hosts that are there until the benchmark ends.
func benchLab(b *testing.B, hosts int, each lab.HostOptions) *lab.Lab {
	b.Helper()
	l, err := lab.Start(b.Context(), b.TempDir(), hosts, lab.Options{Host: func(int) lab.HostOptions { return each }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Errorf("close the lab: %v", err)
		}
	})
	return l
}

// benchDelay is how late packets are in each direction where hosts are far away.
const benchDelay = 50 * time.Millisecond

// BenchmarkHostsFirstTest measures the way to the first test on a host, and what
// it consists of:
//
//	resolve  looking the host up in the ssh configuration
//	dial     connecting and logging in
//	keeper   what is started there to keep it
//	bring    bringing a file of 50 KB
//	exec     a program on the host that is connected: from its start to its end
//	go       a Go worker there: from its start to the first "inprogress"
//	python   the same for testr's own for Python, which is brought first
//	again    the same, where it was brought
//
// go-here and python-here are the same workers on this machine.
func BenchmarkHostsFirstTest(b *testing.B) {
	for _, delay := range []time.Duration{0, benchDelay} {
		b.Run(fmt.Sprintf("delay=%v", delay), func(b *testing.B) {
			l := benchLab(b, 1, lab.HostOptions{Delay: delay})
			w := newBenchWorkers(b)
			here, err := new(instance.Local).Provision(b.Context(), 1)
			if err != nil {
				b.Fatal(err)
			}
			s := spread{}
			for b.Loop() {
				w.round(b, s, l)
				w.first(b, s, "go-here", here[0], w.double())
				w.first(b, s, "python-here", here[0], w.python(w.script))
			}
			s.report(b)
		})
	}
}

// benchWorkers is a directory with a Python test, and the commands of workers.
type benchWorkers struct{ dir, script string }

const benchPython = `import unittest


class C(unittest.TestCase):
    def test_nothing(self):
        pass
`

func newBenchWorkers(tb testing.TB) *benchWorkers {
	tb.Helper()
	w := &benchWorkers{dir: tb.TempDir()}
	if err := os.WriteFile(filepath.Join(w.dir, "test_one.py"), []byte(benchPython), 0o600); err != nil {
		tb.Fatal(err)
	}
	w.script = w.newScript(tb)
	return w
}

// newScript writes the Python worker to where it was not yet.
func (w *benchWorkers) newScript(tb testing.TB) string {
	tb.Helper()
	script := filepath.Join(tb.TempDir(), "testr_worker.py")
	if err := os.WriteFile(script, worker.PythonSource(), 0o600); err != nil {
		tb.Fatal(err)
	}
	return script
}

func (w *benchWorkers) double() instance.Command {
	return instance.Command{Args: []string{"sleep-double"}, Dir: w.dir, Env: []string{"PATH=" + os.Getenv("PATH")}}
}

func (w *benchWorkers) python(script string) instance.Command {
	return instance.Command{Args: []string{python, script, "--runner", "subunit.run", "discover", "."}, Dir: w.dir}
}

// round is one time all of the way to a host, and the ways there are once it is
// connected.
func (w *benchWorkers) round(b *testing.B, s spread, l *lab.Lab) {
	b.Helper()
	ctx := b.Context()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	begin := time.Now()
	target, err := sshdial.Resolve(ctx, l.Hosts[0].Name, sshdial.Options{Home: l.Home})
	must(err)
	begin = s.ms("resolve", begin)
	conn, err := target.Dial(ctx)
	must(err)
	dialed := s.ms("dial", begin)
	host := sshhost.New(sshhost.Config{Name: l.Hosts[0].Name, Dial: func(context.Context) (sshhost.Conn, error) {
		return conn, nil
	}})
	defer func() { must(host.Close()) }()
	made, err := host.Provision(ctx, 1)
	must(err)
	begin = s.ms("keeper", dialed)
	must(host.Bring(ctx, w.newScript(b)))
	begin = s.ms("bring", begin)
	p, err := made[0].Start(ctx, instance.Command{Args: []string{"true"}})
	must(err)
	must(drain(p))
	s.ms("exec", begin)
	script := w.newScript(b)
	python := w.python(host.Path(script))
	python.Files = []string{script}
	w.first(b, s, "go", made[0], w.double())
	w.first(b, s, "python", made[0], python)
	w.first(b, s, "again", made[0], python)
}

// drain reads a process that writes nothing of interest, to its end.
func drain(p instance.Process) error {
	_ = p.Stdin().Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, p.Stderr())
	}()
	_, _ = io.Copy(io.Discard, p.Stdout())
	<-ended
	status, err := p.Wait()
	if err == nil && !status.Success() {
		err = fmt.Errorf("%v", status)
	}
	return err
}

// first starts a worker, measures the time to its first test, and ends it.
func (w *benchWorkers) first(b *testing.B, s spread, name string, at instance.Instance, cmd instance.Command) {
	b.Helper()
	begin := time.Now()
	p, err := at.Start(b.Context(), cmd)
	if err != nil {
		b.Fatal(err)
	}
	id := "test_one.C.test_nothing"
	if cmd.Args[0] == "sleep-double" {
		id = "m.C.test_for_0"
	}
	ask := protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: protocol.StatusExists, Runnable: true}
	if err := protocol.NewWriter(p.Stdin()).WritePacket(&ask); err != nil {
		b.Fatal(err)
	}
	for r := protocol.NewReader(p.Stdout()); ; {
		packet, err := r.ReadPacket()
		if err != nil {
			text, _ := io.ReadAll(p.Stderr())
			b.Fatalf("%s: %v\n%s", name, err, text)
		}
		if packet.Status == protocol.StatusInProgress && packet.TestID == id {
			break
		}
	}
	s.ms(name, begin)
	if err := drain(p); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
}
