package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

// fleets makes fleets and counts them.
type fleets struct{ made int }

func (f *fleets) queue(t *testing.T) *Queue {
	return NewQueue(QueueConfig{Warn: func(err error) { t.Errorf("got a warning: %v", err) },
		NewFleet: func() *Fleet {
			f.made++
			return NewFleet(FleetConfig{Log: hclog.NewNullLogger()})
		}})
}

// states are how far the jobs are, in a word each.
func states(q *Queue) (all []string) {
	for _, j := range q.State().Jobs {
		all = append(all, fmt.Sprintf("%d %s", j.Number, j.State))
	}
	return all
}

func wantStates(t *testing.T, q *Queue, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, states(q)); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

// TestQueueOrder: one after the other, in the order in which they came, however
// many come at once.
func TestQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleets
		q := f.queue(t)
		var order []int
		var fleet *Fleet
		gate := make(chan struct{})
		working := 0
		var ended sync.WaitGroup
		for i := range 3 {
			ended.Add(1)
			number, ahead, err := q.Add(Task{PID: i, Over: func(Job) { ended.Done() },
				Do: func(_ context.Context, _ <-chan struct{}, got *Fleet) Ending {
					working++ // by two at once would be a race
					<-gate
					if fleet == nil {
						fleet = got
					}
					if got != fleet {
						t.Error("got another fleet; want the one that there is")
					}
					order = append(order, i)
					working--
					return Ending{Verdict: "passed", Idle: time.Minute}
				}})
			if err != nil || number != i+1 || ahead != i {
				t.Errorf("got job %d behind %d, %v; want %d behind %d", number, ahead, err, i+1, i)
			}
		}
		synctest.Wait()
		q.Began(7)
		wantStates(t, q, "1 running", "2 waiting", "3 waiting")
		if got := q.State().Jobs[0].Run; got != 7 {
			t.Errorf("got run %d; want 7", got)
		}
		close(gate)
		ended.Wait()
		wantStates(t, q, "1 over", "2 over", "3 over")
		if !slices.Equal(order, []int{0, 1, 2}) || working != 0 || f.made != 1 {
			t.Errorf("got the order %v with %d fleets; want 0, 1, 2 with one", order, f.made)
		}
		q.Close(nil)
	})
}

// TestQueueCancel: a job that waits is forgotten, one that is done is told, and
// others are neither.
func TestQueueCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleets
		q := f.queue(t)
		because := errors.New("because")
		ends := map[int]error{}
		task := Task{Over: func(j Job) { ends[j.Number] = j.Ending.Err },
			Do: func(ctx context.Context, kill <-chan struct{}, _ *Fleet) Ending {
				<-ctx.Done()
				<-kill
				return Ending{Err: context.Cause(ctx)}
			}}
		for range 3 {
			if _, _, err := q.Add(task); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := q.Cancel(2, because); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(q.Cancel(1, because), q.Cancel(1, errors.New("again"))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantStates(t, q, "2 over", "1 running", "3 waiting")
		if err := errors.Join(q.Cancel(3, because), q.Kill(1, because)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for number := range 5 {
			if err := q.Kill(number, because); !errors.Is(err, ErrNoJob) {
				t.Errorf("job %d: got %v; want %v", number, err, ErrNoJob)
			}
		}
		if diff := cmp.Diff(map[int]error{1: because, 2: because, 3: because}, ends, cmp.Comparer(errors.Is)); diff != "" {
			t.Errorf("how jobs ended (-want +got):\n%s", diff)
		}
		q.Close(nil)
	})
}

// TestQueueClose: the one that is done is told, those that wait are not begun, and
// nobody who calls later waits for anything.
func TestQueueClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleets
		q := f.queue(t)
		stopped := errors.New("stopped")
		ends := 0
		begun := 0
		for range 3 {
			_, _, err := q.Add(Task{Over: func(j Job) {
				ends++
				if !errors.Is(j.Ending.Err, stopped) {
					t.Errorf("job %d: got %v; want %v", j.Number, j.Ending.Err, stopped)
				}
			}, Do: func(ctx context.Context, kill <-chan struct{}, _ *Fleet) Ending {
				begun++
				<-kill
				return Ending{Err: context.Cause(ctx)}
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			q.Close(stopped)
		}()
		synctest.Wait()
		if _, _, err := q.Add(Task{}); !errors.Is(err, ErrQueueClosed) {
			t.Errorf("got %v while the queue is being closed; want %v", err, ErrQueueClosed)
		}
		q.Hurry()
		q.Hurry()
		<-closed
		q.Close(stopped)
		if _, _, err := q.Add(Task{}); !errors.Is(err, ErrQueueClosed) {
			t.Errorf("got %v of a closed queue; want %v", err, ErrQueueClosed)
		}
		if err := q.Cancel(1, stopped); !errors.Is(err, ErrNoJob) {
			t.Errorf("got %v of a closed queue; want %v", err, ErrNoJob)
		}
		if begun != 1 || ends != 3 || states(q) != nil {
			t.Errorf("got %d jobs begun, %d ended, %v left; want 1, 3, none", begun, ends, states(q))
		}
	})
}

// TestQueueIdle: the fleet is kept for as long as the last job said, and no longer.
func TestQueueIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleets
		q := f.queue(t)
		do := func(e Ending) {
			over := make(chan struct{})
			if _, _, err := q.Add(Task{Over: func(Job) { close(over) },
				Do: func(context.Context, <-chan struct{}, *Fleet) Ending { return e }}); err != nil {
				t.Fatal(err)
			}
			<-over
			synctest.Wait()
		}
		for _, step := range []struct {
			ending Ending
			wait   time.Duration
			made   int // fleets, before the wait
		}{
			{Ending{Idle: time.Minute}, 50 * time.Second, 1},
			{Ending{Idle: time.Minute}, 50 * time.Second, 1},
			{Ending{Idle: time.Hour}, 61 * time.Second, 1},
			{Ending{Idle: time.Second}, 2 * time.Second, 1},
			{Ending{Idle: time.Hour, Spoilt: true}, 0, 2},
			{Ending{}, 0, 3},
			{Ending{Idle: time.Minute}, 0, 4},
		} {
			do(step.ending)
			if f.made != step.made {
				t.Errorf("%+v: got %d fleets; want %d", step, f.made, step.made)
			}
			<-time.After(step.wait)
			synctest.Wait()
		}
		q.Close(nil)
	})
}

// TestQueueBounded: what is remembered of jobs doesn't grow, and neither does the
// queue without end.
func TestQueueBounded(t *testing.T) {
	var f fleets
	q := f.queue(t)
	gate := make(chan struct{})
	task := Task{Do: func(context.Context, <-chan struct{}, *Fleet) Ending { <-gate; return Ending{Idle: time.Hour} }}
	var over sync.WaitGroup
	task.Over = func(Job) { over.Done() }
	var err error
	for n := 0; err == nil; n++ {
		if n > maxWaiting+1 {
			t.Fatalf("got %d jobs into the queue; want an end of it", n)
		}
		over.Add(1)
		_, _, err = q.Add(task)
	}
	over.Done()
	if !errors.Is(err, ErrQueueFull) {
		t.Errorf("got %v; want %v", err, ErrQueueFull)
	}
	close(gate)
	over.Wait()
	if got := len(states(q)); got != maxRemembered {
		t.Errorf("got %d jobs that are remembered; want %d", got, maxRemembered)
	}
	q.Close(nil)
}
