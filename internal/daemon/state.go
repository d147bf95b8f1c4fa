package daemon

import (
	"os"
	"time"

	"testr/internal/runner"
)

// State is what a daemon does at the moment. It is the document of
// "testr daemon status --json".
type State struct {
	Version   int        `json:"version"` // of the document
	PID       int        `json:"pid"`
	Root      string     `json:"root"`
	Since     time.Time  `json:"since"`
	Jobs      []Job      `json:"jobs"` // the last ones that are over, the one being done, and those that wait
	Instances []Instance `json:"instances"`
	Idle      *time.Time `json:"idle_since"`         // nil while there is a job, and before the first one
	Dispose   *time.Time `json:"dispose_at"`         // when the instances are given back; nil if nothing is to be
	Stopping  bool       `json:"stopping,omitempty"` // somebody has asked for its end
}

// Job is a run that was asked for.
type Job struct {
	Job     int             `json:"job"`
	State   runner.JobState `json:"state"`
	Command []string        `json:"command"`
	PID     int             `json:"pid"` // of who asked
	Asked   time.Time       `json:"asked"`
	Begun   *time.Time      `json:"begun"`
	Ended   *time.Time      `json:"ended"`
	Run     *int            `json:"run"` // the last one that it made
	Verdict string          `json:"verdict,omitempty"`
	Error   string          `json:"error,omitempty"`
}

// Instance is something that was provisioned.
type Instance struct {
	Section string `json:"section"` // of the configuration; empty for [DEFAULT]
	Host    string `json:"host,omitempty"`
	ID      string `json:"id"`
}

// State is what the daemon does.
func (d *Daemon) State() State {
	q := d.queue.State()
	d.mu.Lock()
	stopping := d.asked || d.closing
	d.mu.Unlock()
	s := State{Version: 1, PID: os.Getpid(), Root: d.cfg.Root, Since: d.begun, Jobs: []Job{}, Instances: []Instance{},
		Idle: timeOrNil(q.Idle), Dispose: timeOrNil(q.Until), Stopping: stopping}
	for _, j := range q.Jobs {
		one := Job{Job: j.Number, State: j.State, Command: j.Command, PID: j.PID, Asked: j.Asked,
			Begun: timeOrNil(j.Begun), Ended: timeOrNil(j.Ended), Verdict: j.Ending.Verdict}
		if j.Run >= 0 {
			one.Run = &j.Run
		}
		if j.Ending.Err != nil {
			one.Error = j.Ending.Err.Error()
		}
		s.Jobs = append(s.Jobs, one)
	}
	for _, k := range q.Instances {
		for _, id := range k.IDs {
			s.Instances = append(s.Instances, Instance{k.Section, k.Host, id})
		}
	}
	return s
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
