package daemon

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"testr/internal/api"
	"testr/internal/config"
	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/runner"
	"testr/internal/supervisor"
)

// job is a run that was asked for, or streams to load.
type job struct {
	daemon  *Daemon
	asked   Asked
	feed    *feed
	known   chan struct{} // closed when number is set
	number  int
	release func() bool // has the job go on without its client; false if that is gone already
	taken   bool        // of a detached one: its client knows enough; the handler's
	inspect chan func([]supervisor.SlotState)
	streams []*stream // set before the job is told to be ready
}

// prepare makes the streams that are to be loaded.
func (j *job) prepare() {
	if j.asked.Load == nil {
		return
	}
	for _, name := range j.asked.Load.Streams {
		r, w := io.Pipe()
		j.streams = append(j.streams, &stream{name: name, r: r, w: w})
	}
}

// do does the job; see runner.Task.
func (j *job) do(ctx context.Context, kill <-chan struct{}, fleet *runner.Fleet) runner.Ending {
	<-j.known
	j.feed.put(Message{Kind: kindReady})
	if j.asked.Load != nil {
		return j.load(ctx)
	}
	return j.run(ctx, kill, fleet)
}

// ended is told that the job is over, whether it was begun or not.
func (j *job) ended(was runner.Job) {
	<-j.known // add is about to say so
	if was.Begun.IsZero() {
		why := was.Ending.Err.Error() + " before the run began"
		j.feed.put(Message{Kind: kindResult, Result: &Result{Interrupted: true, Why: why}})
	}
	j.cut(io.ErrClosedPipe)
	j.feed.end()
	j.daemon.mu.Lock()
	defer j.daemon.mu.Unlock()
	delete(j.daemon.jobs, j.number)
}

// run makes a run, or as many of them as it takes until one doesn't pass.
func (j *job) run(ctx context.Context, kill <-chan struct{}, fleet *runner.Fleet) (ending runner.Ending) {
	ending.Idle = j.daemon.idle(nil)
	req, err := j.request(kill)
	if err == nil && j.asked.Run.UntilFailure {
		err = req.Settle()
	}
	var runs *runner.Runs
	if err == nil {
		ending.Idle = j.daemon.idle(req.Config)
		runs, err = fleet.Runs(req)
	}
	if err != nil {
		j.result(ctx, runner.Result{}, err, false, &ending)
		return ending
	}
	for again := true; again; {
		again = j.once(ctx, req, runs, &ending)
	}
	return ending
}

// request is what the runner is asked for.
func (j *job) request(kill <-chan struct{}) (runner.Request, error) {
	d := j.daemon
	req, err := j.asked.request()
	if err != nil {
		return req, err
	}
	if req.Config, err = config.Load(d.root(j.asked.Root)); err != nil {
		return req, err
	}
	if names := j.asked.Run.Profiles; names != nil {
		if req.Profiles, err = req.Config.Choose(names...); err != nil {
			return req, err
		}
	}
	req.Repo, req.Self = d.cfg.Repo, d.cfg.Self
	req.Log = hclog.New(&hclog.LoggerOptions{Name: "testr", Level: hclog.LevelFromString(j.asked.Run.Log),
		Output: logged{j.feed}, DisableTime: true})
	req.Kill, req.Abandon, req.Inspect = kill, d.cfg.Abandon, j.inspect
	req.Warn = func(err error) {
		f := d.cfg.Explain(err)
		j.feed.put(Message{Kind: kindWarning, Text: f.Text, Hints: f.Hints})
	}
	req.Progress = func(instance, text string, over bool) {
		j.feed.put(Message{Kind: kindProgress, Instance: instance, Text: text, Over: over})
	}
	req.Announce = func(shell string) { j.feed.put(Message{Kind: kindAnnounce, Text: shell}) }
	return req, req.TakeProfiles()
}

// logged has what is written to a run's log told to its client.
type logged struct{ feed *feed }

// Write never fails: nobody could be told.
func (l logged) Write(b []byte) (int, error) {
	l.feed.put(Message{Kind: kindLog, Text: string(b)})
	return len(b), nil
}

// once makes a run, and reports whether there is to be another one.
func (j *job) once(ctx context.Context, req runner.Request, runs *runner.Runs, ending *runner.Ending) (again bool) {
	var turn runner.Turn
	if req.Random {
		turn.Seed = rand.Uint64N(maxSeed)
		if j.asked.Run.Seed != nil {
			turn.Seed = *j.asked.Run.Seed
		}
		j.feed.put(Message{Kind: kindSeed, Seed: turn.Seed})
	}
	turn.Begun = j.begun
	if j.asked.Draws {
		turn.Status = func(s supervisor.Status) { j.feed.put(Message{Kind: kindStatus, Status: &s}) }
	}
	res, err := runs.Next(ctx, turn)
	again = j.asked.Run.UntilFailure && err == nil && !res.Interrupted &&
		res.Outcomes.Counts().Verdict() == event.Passed
	if !again {
		err = errors.Join(err, runs.Close())
	}
	j.result(ctx, res, err, again, ending)
	return again
}

// maxSeed is what seeds stay below: people can type them.
const maxSeed = 1_000_000_000

// begun tells that there is a run.
func (j *job) begun(w *repo.RunWriter) {
	j.daemon.queue.Began(w.ID())
	j.feed.put(Message{Kind: kindBegun, Run: w.ID()})
}

// result tells what a run came to.
func (j *job) result(ctx context.Context, res runner.Result, err error, again bool, ending *runner.Ending) {
	told := &Result{Run: res.Run, Recorded: res.Recorded, Interrupted: res.Interrupted, Again: again,
		Failure: j.daemon.failure(err)}
	ending.Err, ending.Spoilt = err, runner.Spoils(err)
	if res.Interrupted {
		ending.Err = errors.Join(context.Cause(ctx), err)
		told.Why = context.Cause(ctx).Error()
	}
	if res.Outcomes != nil {
		c := res.Outcomes.Counts()
		c.Interrupted = c.Interrupted || err != nil // whatever was passed, the run wasn't
		ending.Verdict = c.Verdict().String()
	}
	j.feed.put(Message{Kind: kindResult, Result: told})
}

// idle is how long instances are kept without a run.
func (d *Daemon) idle(cfg *config.Config) time.Duration {
	switch {
	case d.cfg.Idle != nil:
		return *d.cfg.Idle
	case cfg != nil:
		return cfg.InstanceIdle
	}
	return config.DefaultInstanceIdle
}

// maxStreams is how many streams one load may have.
const maxStreams = 1000

// stream is one that a client sends to be loaded.
type stream struct {
	name string
	r    *io.PipeReader // the run's
	w    *io.PipeWriter // the request's with which it comes
}

// load stores streams as a run.
func (j *job) load(ctx context.Context) (ending runner.Ending) {
	ending.Idle = j.daemon.idle(nil)
	var streams []runner.Stream
	for _, s := range j.streams {
		streams = append(streams, runner.Stream{Name: s.name, Reader: s.r})
	}
	stop := context.AfterFunc(ctx, func() { j.cut(context.Cause(ctx)) })
	defer stop()
	info := repo.RunInfo{Start: time.Now(), Partial: j.asked.Partial, Command: j.asked.Command}
	res, err := runner.Load(ctx, j.daemon.cfg.Repo, streams, j.asked.Load.labels(), info, j.begun)
	j.cut(io.ErrClosedPipe)
	j.result(ctx, res, err, false, &ending)
	return ending
}

// cut ends the streams, so that nothing that reads them, and no request with which
// they come, is left behind.
func (j *job) cut(err error) {
	for _, s := range j.streams {
		_ = s.r.CloseWithError(err)
		_ = s.w.CloseWithError(err)
	}
}

// answerStream takes what one of a job's streams has.
func answerStream(j *job, w http.ResponseWriter, req *http.Request) error {
	n, err := strconv.Atoi(req.PathValue("no"))
	if err != nil || n < 0 || n >= len(j.streams) {
		return api.BadRequest(errors.New("the job has no such stream"))
	}
	s := j.streams[n]
	_, err = io.Copy(s.w, req.Body)
	if errors.Is(err, io.ErrClosedPipe) { // the run doesn't want more
		err = nil
	}
	_ = s.w.CloseWithError(err)
	if err != nil {
		return err
	}
	api.Reply(w, struct{}{})
	return nil
}
