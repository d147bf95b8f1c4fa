package daemon

import (
	"errors"

	"testr/internal/runner"
	"testr/internal/supervisor"
)

// Message is something that whoever asked for a job is told of it. Kind says
// which fields are set.
type Message struct {
	Kind     string             `json:"kind"`
	Job      int                `json:"job,omitempty"`
	Ahead    int                `json:"ahead,omitempty"`
	Run      int                `json:"run,omitempty"`
	Seed     uint64             `json:"seed,omitempty"`
	Text     string             `json:"text,omitempty"`
	Hints    []string           `json:"hints,omitempty"`
	Instance string             `json:"instance,omitempty"`
	Over     bool               `json:"over,omitempty"`
	Status   *supervisor.Status `json:"status,omitempty"`
	Result   *Result            `json:"result,omitempty"`
}

// The kinds of messages.
const (
	kindQueued   = "queued"   // Job is in the queue, behind Ahead others
	kindReady    = "ready"    // the job's turn has come
	kindSeed     = "seed"     // the next run's order is Seed's
	kindBegun    = "begun"    // there is Run now, with events to follow
	kindWarning  = "warning"  // Text and Hints; see runner.Request.Warn
	kindProgress = "progress" // Instance, Text, Over; see runner.Request.Progress
	kindAnnounce = "announce" // Text; see runner.Request.Announce
	kindLog      = "log"      // Text is lines of the run's log
	kindStatus   = "status"   // Status; see runner.Turn
	kindResult   = "result"   // a run is over, or there is none
)

// Result is what a run came to. Its outcomes are for its events to tell.
type Result struct {
	Run         int      `json:"run"`
	Recorded    bool     `json:"recorded"`
	Interrupted bool     `json:"interrupted,omitempty"`
	Why         string   `json:"why,omitempty"`   // it was interrupted
	Again       bool     `json:"again,omitempty"` // there is another one
	Failure     *Failure `json:"failure,omitempty"`
}

// Failure is an error that came from a daemon, in the words that testr has for it.
type Failure struct {
	Text    string   `json:"text"`
	Hints   []string `json:"hints,omitempty"`
	Status  int      `json:"status"`            // the exit status that goes with it
	Nothing bool     `json:"nothing,omitempty"` // there was nothing to do, and Text says why
}

// statusError is the exit status of what could not be done.
const statusError = 3

// Error is its text.
func (f *Failure) Error() string { return f.Text }

// err is the failure as an error, or nil.
func (f *Failure) err() error {
	switch {
	case f == nil:
		return nil
	case f.Nothing:
		return &runner.NothingError{Reason: f.Text}
	}
	return f
}

// failure makes a Failure of an error, or nil of none.
func (d *Daemon) failure(err error) *Failure {
	var nothing *runner.NothingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &nothing):
		return &Failure{Text: nothing.Reason, Nothing: true}
	}
	return d.cfg.Explain(err)
}
