package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"testr/internal/daemon"
	"testr/internal/report"
	"testr/internal/runner"
)

// showDaemon shows what a daemon does to people.
func showDaemon(env *environment, s daemon.State) error {
	out := env.stdout
	if _, isTerminal := terminal(env.stdout); isTerminal {
		out = report.NewEscapeWriter(env.stdout)
	}
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "daemon: process %d in %s, since %s\n", s.PID, s.Root, clock(s.Since))
	if s.Stopping {
		b.WriteString("it is about to end\n")
	}
	if s.Idle != nil {
		_, _ = fmt.Fprintf(&b, "idle: since %s\n", clock(*s.Idle))
	}
	for _, state := range []runner.JobState{runner.JobOver, runner.JobRunning, runner.JobWaiting} {
		for _, j := range s.Jobs {
			if j.State == state {
				_, _ = fmt.Fprintf(&b, "%s: %s\n", state, jobLine(j))
			}
		}
	}
	for _, i := range s.Instances {
		_, _ = fmt.Fprintf(&b, "instance: %s\n", instanceLine(i))
	}
	if s.Dispose != nil {
		_, _ = fmt.Fprintf(&b, "instances are given back at %s\n", clock(*s.Dispose))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// jobLine tells of a job.
func jobLine(j daemon.Job) string {
	line := fmt.Sprintf("job %d", j.Job)
	if j.Run != nil {
		line += fmt.Sprintf(", run %d", *j.Run)
	}
	if j.Verdict != "" {
		line += ", " + j.Verdict
	}
	switch {
	case j.Ended != nil:
		line += ", ended " + clock(*j.Ended)
	case j.Begun != nil:
		line += ", since " + clock(*j.Begun)
	default:
		line += ", since " + clock(j.Asked)
	}
	line += fmt.Sprintf(", for process %d: testr %s", j.PID, strings.Join(j.Command, " "))
	if j.Error != "" {
		line += " (" + strings.ReplaceAll(j.Error, "\n", "; ") + ")"
	}
	return strings.ReplaceAll(line, "\n", `\n`)
}

// instanceLine tells of an instance.
func instanceLine(i daemon.Instance) string {
	section := "[DEFAULT]"
	if i.Section != "" {
		section = "[instance " + i.Section + "]"
	}
	if i.Host != "" {
		section += " on " + i.Host
	}
	return i.ID + " of " + section
}

// clock is a time for people.
func clock(t time.Time) string { return t.Local().Format(time.DateTime) }
