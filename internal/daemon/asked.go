package daemon

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"testr/internal/api"
	"testr/internal/event"
	"testr/internal/runner"
)

// Asked is a run, or streams to be loaded, as they are asked for over the socket:
// what whoever asks would have done with them. The configuration is not in it.
type Asked struct {
	Root    string   `json:"root"`              // where the configuration is, as the client has it
	Command []string `json:"command,omitempty"` // what a person typed
	PID     int      `json:"pid"`
	Detach  bool     `json:"detach,omitempty"` // nobody waits for its end
	Draws   bool     `json:"draws,omitempty"`  // the client wants to know how it goes
	Partial bool     `json:"partial,omitempty"`

	Run  *AskedRun  `json:"run,omitempty"`
	Load *AskedLoad `json:"load,omitempty"`
}

// AskedRun is the part of a runner.Request that goes over the socket.
type AskedRun struct {
	Environ      []string         `json:"environ,omitempty"`
	Log          string           `json:"log,omitempty"` // how much the client wants of the run's log
	Select       runner.Selection `json:"select"`
	Profiles     []string         `json:"profiles,omitempty"` // nil for those that run by default
	Parallel     bool             `json:"parallel,omitempty"`
	Concurrency  int              `json:"concurrency,omitempty"`
	Isolated     bool             `json:"isolated,omitempty"`
	Random       bool             `json:"random,omitempty"`
	Seed         *uint64          `json:"seed,omitempty"` // nil for another one with each run
	Plan         *Plan            `json:"plan,omitempty"`
	Timeout      *time.Duration   `json:"timeout,omitempty"`
	Slow         *time.Duration   `json:"slow,omitempty"`
	Retries      *int             `json:"retries,omitempty"`
	MaxFail      int              `json:"max_fail,omitempty"`
	UntilFailure bool             `json:"until_failure,omitempty"`
}

// Plan is the text of a plan, and the file that it is from.
type Plan struct {
	File string `json:"file"`
	Text []byte `json:"text"`
}

// AskedLoad are streams, by the names that people know them by. What is in them is
// sent when their turn has come.
type AskedLoad struct {
	Streams []string `json:"streams"`
	Labels
}

// Labels are runner.Labels, by what those are made of.
type Labels struct {
	Sets    map[string][]string `json:"sets,omitempty"` // of tags, by the names of profiles
	Tags    []string            `json:"tags,omitempty"`
	Profile string              `json:"profile,omitempty"`
}

// labels are those of the runner.
func (l *Labels) labels() runner.Labels {
	return runner.Labels{Profiles: event.NewProfiles(l.Sets), Tags: l.Tags, Profile: l.Profile}
}

// ask makes of a request what goes over the socket. Its plan and Seed are the
// caller's to add: a request has lost what they were made from.
func ask(req runner.Request) Asked {
	var profiles []string
	for _, p := range req.Profiles {
		profiles = append(profiles, p.Name)
	}
	level := ""
	if req.Log != nil {
		level = req.Log.GetLevel().String()
	}
	return Asked{Root: req.Config.Root, Command: req.Command, Partial: req.Partial, Run: &AskedRun{
		Environ: req.Environ, Log: level, Select: req.Select, Profiles: profiles, Parallel: req.Parallel,
		Concurrency: req.Concurrency, Isolated: req.Isolated, Random: req.Random,
		Timeout: req.Timeout, Slow: req.Slow, Retries: req.Retries, MaxFail: req.MaxFail}}
}

// check refuses what no client of ours asks for, and what nobody could do.
func (a *Asked) check() error {
	switch {
	case (a.Run == nil) == (a.Load == nil):
		return api.BadRequest(errors.New("a job is either a run or a load"))
	case a.Load != nil && (a.Detach || len(a.Load.Streams) == 0 || len(a.Load.Streams) > maxStreams):
		return api.BadRequest(fmt.Errorf("to load takes from 1 to %d streams, and a client that sends them", maxStreams))
	case a.Load != nil:
		return nil
	}
	r := a.Run
	part := r.Select.Partition
	for _, bad := range []struct {
		is   bool
		what string
	}{
		{slices.Contains(r.Select.Filters, nil), "a filter"},
		{part != runner.Partition{} && (part.K < 1 || part.K > part.N), "the partition"},
		{r.Concurrency < 0, "the number of workers"},
		{r.MaxFail < 0, "how many tests may fail"},
		{r.Retries != nil && *r.Retries < 0, "the number of retries"},
		{r.Timeout != nil && *r.Timeout < 0 || r.Slow != nil && *r.Slow < 0, "a time limit"},
	} {
		if bad.is {
			return api.BadRequest(fmt.Errorf("%s that is asked for makes no sense", bad.what))
		}
	}
	return nil
}

// request makes a request of what came over the socket, as far as that goes. The
// error is about the plan.
func (a *Asked) request() (runner.Request, error) {
	r := a.Run
	req := runner.Request{Command: a.Command, Partial: a.Partial,
		Environ: r.Environ, Select: r.Select, Parallel: r.Parallel, Concurrency: r.Concurrency,
		Isolated: r.Isolated, Random: r.Random, Timeout: r.Timeout, Slow: r.Slow, Retries: r.Retries,
		MaxFail: r.MaxFail}
	if req.Environ == nil {
		req.Environ = []string{} // and not the daemon's
	}
	var err error
	if r.Plan != nil {
		req.Segments, err = runner.ParseSegments(r.Plan.File, r.Plan.Text)
	}
	return req, err
}
