package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"testr/internal/api"
	"testr/internal/repo"
	"testr/internal/runner"
	"testr/internal/supervisor"
)

// These errors are the causes with which runs end.
var (
	errGone    = errors.New("whoever asked for the run is gone")
	errStopped = errors.New("the daemon was stopped")
)

// Config is what a Daemon needs to know.
type Config struct {
	Repo *repo.Repository // open for writing; the caller closes it after the daemon
	Root string           // the directory of the configuration
	Self string           // the testr program
	Idle *time.Duration   // for how long instances are kept without a run; nil means what the configuration says
	Log  hclog.Logger
	// Warn is told of what went wrong and concerns no run. It may be called from
	// several goroutines.
	Warn func(error)
	// Explain puts an error into words.
	Explain func(error) *Failure
	// Abandon, once closed, leaves what is being given back in the repository.
	Abandon <-chan struct{}
}

// Daemon does what is asked for over a socket. Its methods may be called from any
// goroutine; it has to be closed.
type Daemon struct {
	cfg   Config
	begun time.Time
	queue *runner.Queue
	stop  chan struct{} // closed when somebody has asked for the end

	mu      sync.Mutex
	asked   bool           // stop is closed; guarded by mu, as all that follows
	jobs    map[int]*job   // those that are not over
	parting chan struct{}  // closed when clients are not waited for any more
	clients sync.WaitGroup // who read what is told of their jobs; nothing is added after closing
	closing bool

	patience time.Duration // partingPatience
}

// New makes a daemon that does nothing yet.
func New(cfg Config) *Daemon {
	d := &Daemon{cfg: cfg, begun: time.Now(), stop: make(chan struct{}), jobs: map[int]*job{},
		parting: make(chan struct{}), patience: partingPatience}
	d.queue = runner.NewQueue(runner.QueueConfig{Warn: cfg.Warn, NewFleet: func() *runner.Fleet {
		return runner.NewFleet(runner.FleetConfig{Repo: cfg.Repo, Root: cfg.Root, Self: cfg.Self, Log: cfg.Log,
			Warn: cfg.Warn, Abandon: cfg.Abandon})
	}})
	return d
}

// Stopping is closed when a client has asked for the daemon's end.
func (d *Daemon) Stopping() <-chan struct{} { return d.stop }

// Hurry has Close wait no longer for tests that run.
func (d *Daemon) Hurry() { d.queue.Hurry() }

const (
	// partingPatience is how long clients have to read what their runs came to, once
	// the daemon ends.
	partingPatience = 5 * time.Second
	// partingWrite is how long the last thing that they are told may take then.
	partingWrite = time.Second
)

// Close interrupts the run that goes on, tells those that wait that there will be
// none, and gives the instances back. It returns when all that has ended and
// clients know of it, or don't read. The socket has to be served until then.
func (d *Daemon) Close() {
	d.queue.Close(errStopped)
	d.mu.Lock()
	d.closing = true
	d.mu.Unlock()
	read := make(chan struct{})
	go func() {
		defer close(read)
		d.clients.Wait()
	}()
	patience := time.NewTimer(d.patience)
	defer patience.Stop()
	select {
	case <-read:
	case <-patience.C:
	}
	close(d.parting)
	<-read
}

// The requests that a daemon answers.
const (
	pathDaemon = "/v1/daemon"
	pathStop   = "/v1/daemon/stop"
	pathJobs   = "/v1/jobs"
)

// Handlers are the requests that the daemon answers, for an api.Config.
func (d *Daemon) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"GET " + pathDaemon:                        http.HandlerFunc(d.answerState),
		"POST " + pathStop:                         http.HandlerFunc(d.answerStop),
		"POST " + pathJobs:                         http.HandlerFunc(d.answerAsk),
		"POST " + pathJobs + "/{job}/cancel":       d.answerJob(answerCancel),
		"GET " + pathJobs + "/{job}/slots":         d.answerJob(answerSlots),
		"POST " + pathJobs + "/{job}/streams/{no}": d.answerJob(answerStream),
	}
}

func (d *Daemon) answerState(w http.ResponseWriter, _ *http.Request) { api.Reply(w, d.State()) }

func (d *Daemon) answerStop(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	if !d.asked {
		d.asked = true
		close(d.stop)
	}
	d.mu.Unlock()
	api.Reply(w, d.State())
}

// answerAsk takes a job, and tells of it until it is over.
func (d *Daemon) answerAsk(w http.ResponseWriter, req *http.Request) {
	j := &job{daemon: d, feed: newFeed(), known: make(chan struct{}), inspect: make(chan func([]supervisor.SlotState), 1)}
	err := api.Body(w, req, &j.asked)
	if err == nil {
		err = j.asked.check()
	}
	if err == nil {
		j.prepare()
		err = d.add(j)
	}
	if err != nil {
		api.Fail(w, err)
		return
	}
	defer d.clients.Done()
	defer j.feed.leave()
	defer d.cutting(w)()
	j.release = context.AfterFunc(req.Context(), func() { _ = d.queue.Cancel(j.number, errGone) })
	defer j.release()
	if j.asked.Detach {
		api.StreamValues(w, req, j.untilTaken)
	} else {
		api.StreamValues(w, req, j.untilGone)
	}
}

// cutting has what is written to a client that doesn't read end, once nobody is
// waited for any more, until over is called.
func (d *Daemon) cutting(w http.ResponseWriter) (over func()) {
	written := make(chan struct{})
	var cuts sync.WaitGroup
	cuts.Go(func() {
		select {
		case <-d.parting:
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(partingWrite)) // the connection has deadlines
		case <-written:
		}
	})
	return func() {
		close(written)
		cuts.Wait()
	}
}

// add puts a job into the queue, and its client among those that are waited for.
func (d *Daemon) add(j *job) error {
	d.mu.Lock()
	if d.closing {
		d.mu.Unlock()
		return errStopped
	}
	d.clients.Add(1)
	d.mu.Unlock()
	number, ahead, err := d.queue.Add(runner.Task{Command: j.asked.Command, PID: j.asked.PID, Do: j.do, Over: j.ended})
	if err != nil {
		d.clients.Done()
		if errors.Is(err, runner.ErrQueueClosed) {
			err = errStopped
		}
		return err
	}
	d.mu.Lock()
	j.number, d.jobs[number] = number, j
	d.mu.Unlock()
	j.feed.put(Message{Kind: kindQueued, Job: number, Ahead: ahead})
	close(j.known)
	return nil
}

// answerJob is a request about a job that is not over.
func (d *Daemon) answerJob(answer func(*job, http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		number, err := strconv.Atoi(req.PathValue("job"))
		if err != nil {
			api.Fail(w, api.BadRequest(fmt.Errorf("%.50q is no number of a job", req.PathValue("job"))))
			return
		}
		d.mu.Lock()
		j := d.jobs[number]
		d.mu.Unlock()
		err = runner.ErrNoJob
		if j != nil {
			err = answer(j, w, req)
		}
		if err != nil {
			api.Fail(w, err)
		}
	})
}

// cancelling is what cancels a job.
type cancelling struct {
	Cause string `json:"cause"` // as the run has it
	Kill  bool   `json:"kill,omitempty"`
}

func answerCancel(j *job, w http.ResponseWriter, req *http.Request) error {
	var c cancelling
	if err := api.Body(w, req, &c); err != nil {
		return err
	}
	end := j.daemon.queue.Cancel
	if c.Kill {
		end = j.daemon.queue.Kill
	}
	if err := end(j.number, errors.New(c.Cause)); err != nil {
		return err
	}
	api.Reply(w, struct{}{})
	return nil
}

// slotsPatience is how long a run may take to say what its slots do: one that
// lists its tests can't yet.
const slotsPatience = 2 * time.Second

func answerSlots(j *job, w http.ResponseWriter, req *http.Request) error {
	answer := make(chan []supervisor.SlotState, 1)
	patience := time.NewTimer(slotsPatience)
	defer patience.Stop()
	select {
	case j.inspect <- func(s []supervisor.SlotState) { answer <- s }:
	case <-patience.C:
		return errors.New("the run has no workers yet")
	case <-req.Context().Done():
		return context.Cause(req.Context())
	}
	select {
	case s := <-answer:
		api.Reply(w, s)
		return nil
	case <-patience.C:
		return errors.New("the run has no workers yet")
	case <-req.Context().Done():
		return context.Cause(req.Context())
	}
}

// here reports whether a directory is the daemon's.
func (d *Daemon) here(dir string) bool {
	want, err := os.Stat(d.cfg.Root)
	got, errGot := os.Stat(dir)
	return err == nil && errGot == nil && os.SameFile(want, got)
}

// root is the directory of the configuration, in the client's words if those mean
// the same here.
func (d *Daemon) root(client string) string {
	if filepath.Clean(client) == "." && d.here(client) || filepath.IsAbs(client) && d.here(client) {
		return client
	}
	return d.cfg.Root
}

// untilTaken tells of a job until it has a run, or certainly will have to wait. From
// then on, and no earlier, it goes on without its client: who goes away before could not know of it.
func (j *job) untilTaken(ctx context.Context) (any, error) {
	if j.taken {
		return nil, io.EOF
	}
	batch, err := j.feed.next(ctx)
	for _, m := range batch {
		j.taken = j.taken || m.Kind == kindBegun || m.Kind == kindResult || m.Kind == kindQueued && m.Ahead > 0
	}
	if j.taken && !j.release() {
		return nil, context.Cause(ctx)
	}
	return batch, err
}

// untilGone tells of a job until its client has seen enough of it: who has read
// everything closes the connection, and until then may follow the run's events.
func (j *job) untilGone(ctx context.Context) (any, error) {
	batch, err := j.feed.next(ctx)
	if !errors.Is(err, io.EOF) {
		return batch, err
	}
	select {
	case <-ctx.Done():
	case <-j.daemon.parting:
	}
	return nil, io.EOF
}
