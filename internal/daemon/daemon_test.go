package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
	"testr/internal/runner"
)

// TestRun: a run that is handed over is made as its client would have made it, with
// the client's environment, and ends for it as one of its own does.
func TestRun(t *testing.T) {
	h := newHouse(t, batches)
	c := h.client()
	var announced []string
	l := Listener{Announce: func(command string) { announced = append(announced, command) }}
	e := h.run(c, h.wanted("ann", "a", "fails"), l)
	h.want(e, "run 0: 1 passed, 1 failed, 0 not run, interrupted false, <nil>")
	h.want(h.run(c, h.wanted("bob", "b"), l), "run 1: 1 passed, 0 failed, 0 not run, interrupted false, <nil>")
	if diff := cmp.Diff([]string{"ann a", "ann fails", "bob b"}, lines(h.read("log"))); diff != "" {
		t.Errorf("what ran for whom (-want +got):\n%s", diff)
	}
	if len(announced) != 2 {
		t.Errorf("got %q announced; want a command for each of the runs", announced)
	}
	info, err := c.Queries().Run(0)
	if err != nil || uint64(len(e.events)) != info.Events {
		t.Errorf("got %d events; want the %d of the run (%v)", len(e.events), info.Events, err)
	}
	if diff := cmp.Diff([]string{"run", "ann"}, info.Command); diff != "" {
		t.Errorf("the run's command (-want +got):\n%s", diff)
	}
}

// TestConfiguration: it is read anew for each run, and what is wrong with it ends
// that run alone.
func TestConfiguration(t *testing.T) {
	h := newHouse(t, batches)
	c := h.client()
	w := h.wanted("ann", "a")
	h.want(h.run(c, w, Listener{}), "run 0: 1 passed, 0 failed, 0 not run, interrupted false, <nil>")
	h.write(".testr.conf", "[DEFAULT]\ntimeout=soon\n")
	if e := h.run(c, w, Listener{}); e.Recorded || e.err == nil || !strings.Contains(e.err.Error(), "timeout") {
		t.Errorf("got %v; want no run, for what is wrong with the configuration", e)
	}
	h.write(".testr.conf", strings.Replace(batches, "$WHO", "new $WHO", 1))
	h.want(h.run(c, w, Listener{}), "run 1: 1 passed, 0 failed, 0 not run, interrupted false, <nil>")
	if diff := cmp.Diff([]string{"ann a", "new ann a"}, lines(h.read("log"))); diff != "" {
		t.Errorf("what ran (-want +got):\n%s", diff)
	}
	w.Select.Listed, w.Select.Failing = false, true
	var nothing *runner.NothingError
	if e := h.run(c, w, Listener{}); e.Recorded || !errors.As(e.err, &nothing) {
		t.Errorf("got %v; want to be told that there is nothing to do", e.err)
	}
}

// begin asks for a run, and waits until it is there, or is known to have to wait.
func (h *house) begin(ctx context.Context, c *Client, w Wanted, s Signals) (*Series, int) {
	h.t.Helper()
	ahead := 0
	series, err := c.Run(ctx, w, s, Listener{Waits: func(_, n int) { ahead = n }})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = series.Close() })
	return series, ahead
}

// TestQueue: of runs that are asked for at once, each waits for those before; the
// end of one is none of the others' business.
func TestQueue(t *testing.T) {
	h := newHouse(t, batches)
	c := h.client()
	first, cancelFirst := context.WithCancelCause(t.Context())
	second, cancelSecond := context.WithCancelCause(t.Context())
	var all [3]*Series
	for i, ctx := range []context.Context{first, second, t.Context()} {
		who := string(rune('a' + i))
		test := "waits"
		if i == 2 {
			test = "a"
		}
		ahead := 0
		all[i], ahead = h.begin(ctx, c, h.wanted(who, test), Signals{})
		if ahead != i {
			t.Errorf("run %d: got %d before it; want %d", i, ahead, i)
		}
	}
	h.awaitFile("begun")
	state, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, j := range state.Jobs {
		got = append(got, fmt.Sprintf("%d %s %s", j.Job, j.State, j.Command[1]))
	}
	if diff := cmp.Diff([]string{"1 running a", "2 waiting b", "3 waiting c"}, got); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}

	cancelSecond(errors.New("by SIGINT"))
	if e := h.follow(second, all[1]); e.Recorded || !e.Interrupted || e.err != nil {
		t.Errorf("got %+v, %v of a run that was cancelled while it waited; want it interrupted, and no more", e.Result, e.err)
	}
	cancelFirst(errors.New("by SIGINT"))
	e := h.follow(first, all[0])
	h.want(e, "run 0: 0 passed, 0 failed, 1 not run, interrupted true, <nil>")
	if !slices.ContainsFunc(e.events, func(e event.Event) bool { return e.Detail == "by SIGINT" }) {
		t.Error("the run doesn't say what interrupted it")
	}
	h.want(h.follow(t.Context(), all[2]), "run 1: 1 passed, 0 failed, 0 not run, interrupted false, <nil>")
}

// TestKill: a second signal ends what runs at once.
func TestKill(t *testing.T) {
	h := newHouse(t, "[DEFAULT]\nworker=stream\nworker_command=. ./waits.sh\ntest_command=: $LISTOPT\n"+
		"test_list_option=cat waits.begin\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	kill := make(chan struct{})
	s, _ := h.begin(ctx, h.client(), h.wanted("ann", "waits"), Signals{Kill: kill})
	h.awaitFile("begun")
	begun := time.Now()
	cancel(errors.New("by SIGINT"))
	close(kill)
	h.want(h.follow(ctx, s), "run 0: 0 passed, 0 failed, 1 not run, interrupted true, <nil>")
	if took := time.Since(begun); took > 9*time.Second {
		t.Errorf("got the end after %v; want it before the time of grace is over", took)
	}
}

// TestGone: the run of a client that is gone ends, the run of one that doesn't wait
// does not.
func TestGone(t *testing.T) {
	h := newHouse(t, batches)
	gone := h.client()
	h.begin(t.Context(), gone, h.wanted("ann", "waits"), Signals{})
	h.awaitFile("begun")
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	c := h.client()
	h.await("the end of a run that nobody waits for", func() bool {
		info, err := c.Queries().Run(0)
		return err == nil && info.State == repo.Interrupted
	})

	h.awaitIdle(c)

	away := h.client()
	taken, err := away.Detach(t.Context(), h.wanted("bob", "waits"))
	if err != nil || taken != (Taken{Job: 2, Run: 1}) {
		t.Errorf("got %+v, %v; want job 2, which is run 1", taken, err)
	}
	later, err := away.Detach(t.Context(), h.wanted("bob", "a"))
	if err != nil || later != (Taken{Job: 3, Ahead: 1, Run: -1}) {
		t.Errorf("got %+v, %v; want job 3, behind one other", later, err)
	}
	if err := away.Close(); err != nil {
		t.Fatal(err)
	}
	h.write("go", "")
	for run := 1; run <= 2; run++ {
		h.await("the end of a run that nobody is to wait for", func() bool {
			info, err := c.Queries().Run(run)
			return err == nil && info.State == repo.Finished && info.Counts.Passed == 1
		})
	}
	h.awaitIdle(c)
	w := h.wanted("bob", "a")
	h.write(".testr.conf", "[DEFAULT]\ntimeout=soon\n")
	if taken, err := c.Detach(t.Context(), w); err == nil {
		t.Errorf("got %+v; want to be told what is wrong with the configuration", taken)
	}
}

// TestStop: the run that goes on is interrupted, those that wait are told, and
// nobody is taken any more.
func TestStop(t *testing.T) {
	h := newHouse(t, batches)
	c := h.client()
	runs, _ := h.begin(t.Context(), c, h.wanted("ann", "waits"), Signals{})
	h.awaitFile("begun")
	waits, _ := h.begin(t.Context(), c, h.wanted("bob", "a"), Signals{})
	results := make(chan ended, 2)
	for _, s := range []*Series{runs, waits} {
		go func() {
			results <- h.follow(context.Background(), s)
			_ = s.Close()
		}()
	}
	h.close()
	got := []string{(<-results).String(), (<-results).String()}
	slices.Sort(got)
	want := []string{
		"run 0, the daemon was stopped before the run began",
		"run 0: 0 passed, 0 failed, 1 not run, interrupted true, the daemon was stopped",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("how runs ended (-want +got):\n%s", diff)
	}
	if c, err := Find(t.Context(), h.dir); c != nil || err != nil {
		t.Errorf("got %v, %v; want no daemon any more", c, err)
	}
}

// TestUntilFailure: one job makes runs until one fails.
func TestUntilFailure(t *testing.T) {
	h := newHouse(t, batches)
	h.write("a.sh", "cat a.begin; if [ -e once ]; then cat fails.begin fails.end; fi; : >once; cat a.end\n")
	w := h.wanted("ann", "a")
	w.UntilFailure, w.Random = true, true
	var seeds []uint64
	s, err := h.client().Run(t.Context(), w, Signals{}, Listener{Seed: func(n uint64) { seeds = append(seeds, n) }})
	if err != nil {
		t.Fatal(err)
	}
	h.want(h.follow(t.Context(), s), "run 0: 1 passed, 0 failed, 0 not run, interrupted false, <nil>")
	h.want(h.follow(t.Context(), s), "run 1: 1 passed, 1 failed, 0 not run, interrupted false, <nil>")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if len(seeds) != 2 || seeds[0] == seeds[1] {
		t.Errorf("got the seeds %v; want one for each run", seeds)
	}
}

// TestVerdict: a run that could not be made whole has not passed, whatever its tests
// have.
func TestVerdict(t *testing.T) {
	d := &Daemon{cfg: Config{Explain: func(err error) *Failure { return &Failure{Text: err.Error()} }}}
	for want, err := range map[string]error{"passed": nil, "incomplete": errors.New("no room")} {
		o := event.NewOutcomes()
		_ = o.Event(event.Event{Kind: event.KindPacket, Packet: &protocol.Packet{Has: protocol.HasTestID, TestID: "a",
			Status: protocol.StatusSuccess, Runnable: true}})
		o.Finish()
		var ending runner.Ending
		j := &job{daemon: d, feed: newFeed()}
		j.result(t.Context(), runner.Result{Recorded: true, Outcomes: o}, err, false, &ending)
		if ending.Verdict != want {
			t.Errorf("with the error %v: got the verdict %q; want %q", err, ending.Verdict, want)
		}
	}
}

// TestLoad: streams are sent when their turn has come, and stored as they are.
func TestLoad(t *testing.T) {
	h := newHouse(t, batches)
	c := h.client()
	first, _ := h.begin(t.Context(), c, h.wanted("ann", "waits"), Signals{})
	h.awaitFile("begun")
	read := make(chan struct{})
	early := readerFunc(func([]byte) (int, error) {
		close(read)
		return 0, io.EOF
	})
	stream := func(id string, s protocol.Status) io.Reader { return bytes.NewReader(packet(t, id, s)) }
	s, err := c.Load(t.Context(), WantedLoad{Streams: []runner.Stream{
		{Name: "one", Reader: stream("x", protocol.StatusSuccess)}, {Name: "two", Reader: stream("y", protocol.StatusFail)},
		{Name: "three", Reader: early}}}, Signals{}, Listener{})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-read:
		t.Error("a stream was read before its turn had come")
	default:
	}
	h.write("go", "")
	h.want(h.follow(t.Context(), first), "run 0: 1 passed, 0 failed, 0 not run, interrupted false, <nil>")
	h.want(h.follow(t.Context(), s), "run 1: 1 passed, 1 failed, 0 not run, interrupted false, <nil>")
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	broken := readerFunc(func([]byte) (int, error) { return 0, errors.New("no such luck") })
	bad := WantedLoad{Streams: []runner.Stream{{Name: "bad", Reader: broken}}}
	s, err = c.Load(t.Context(), bad, Signals{}, Listener{})
	if err != nil {
		t.Fatal(err)
	}
	if e := h.follow(t.Context(), s); e.Recorded || e.err == nil || e.err.Error() != "load bad: no such luck" {
		t.Errorf("got %v; want no run, and why the stream could not be read", e)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestLoadInterrupted: what a stream had until then is kept, whether it gives any
// more or not.
func TestLoadInterrupted(t *testing.T) {
	h := newHouse(t, batches)
	r, w := io.Pipe()
	ctx, cancel := context.WithCancelCause(t.Context())
	s, err := h.client().Load(ctx, WantedLoad{Streams: []runner.Stream{{Name: "slow", Reader: r}}}, Signals{}, Listener{})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan ended, 1)
	go func() { result <- h.follow(ctx, s) }()
	if _, err := w.Write(packet(t, "x", protocol.StatusSuccess)); err != nil {
		t.Fatal(err)
	}
	q := h.client().Queries()
	h.await("the run", func() bool { _, err := q.Run(0); return err == nil })
	cancel(errors.New("by SIGINT"))
	h.want(<-result, "run 0: 1 passed, 0 failed, 0 not run, interrupted true, <nil>")
	if err := errors.Join(s.Close(), w.Close()); err != nil {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestHooks: two runs, one instance; it is given back when it was idle for too long,
// and when the daemon ends.
func TestHooks(t *testing.T) {
	conf := batches + `instance_provision=echo get >>hooks; echo i-1
instance_execute=: $INSTANCE_ID; $COMMAND
instance_dispose=echo put $INSTANCE_IDS >>hooks
`
	h := newHouse(t, conf)
	c := h.client()
	for range 2 {
		h.run(c, h.wanted("ann", "a"), Listener{})
	}
	h.awaitIdle(c)
	state, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Instance{{ID: "i-1"}}, state.Instances); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	if state.Idle == nil || state.Dispose == nil || state.Dispose.Sub(*state.Idle) != 10*time.Minute {
		t.Errorf("got idle since %v until %v; want ten minutes", state.Idle, state.Dispose)
	}
	if got := lines(h.read("hooks")); !slices.Equal(got, []string{"get"}) {
		t.Errorf("got %q of two runs; want one instance", got)
	}
	h.close()
	if got := lines(h.read("hooks")); !slices.Equal(got, []string{"get", "put i-1"}) {
		t.Errorf("got %q of a daemon that was stopped; want what it had given back", got)
	}

	soon := 20 * time.Millisecond
	h.open(&soon)
	h.run(h.client(), h.wanted("ann", "a"), Listener{})
	h.await("the instance to be given back", func() bool { return strings.Count(h.read("hooks"), "put") == 2 })
}

// TestBounded: neither memory nor goroutines grow with the runs that were.
func TestBounded(t *testing.T) {
	before := runtime.NumGoroutine()
	h := newHouse(t, batches)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const runs = 50
	var early uint64
	for n := range runs {
		c := h.client()
		if e := h.run(c, h.wanted("ann", "a"), Listener{}); e.err != nil {
			t.Fatal(e.err)
		}
		_ = c.Close()
		if n == 9 {
			early = heap()
		}
	}
	if late := heap(); late > early+4<<20 {
		t.Errorf("got a heap of %d kB after %d runs, %d kB after 10; want no such growth", late>>10, runs, early>>10)
	}
	h.close()
	h.await("all goroutines to have ended", func() bool { return runtime.NumGoroutine() <= before })
}
