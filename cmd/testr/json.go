package main

import (
	"encoding/json"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/repo"
	"testr/internal/report"
)

// documentVersion is the version of all JSON documents. They are described in
// docs/json.md; what is there keeps its meaning as long as this number.
const documentVersion = 1

// jsonFlag is that of the commands that can write a document instead of text.
func jsonFlag(on *bool) cli.Flag {
	return &cli.BoolFlag{Name: "json", Destination: on, Usage: "write a JSON document"}
}

// writeDocument writes a document for programs, that a person may look at, too.
func writeDocument(env *environment, document any) error {
	out := env.stdout
	if _, ok := terminal(out); ok { // JSON itself escapes less than a terminal needs
		out = report.NewEscapeWriter(out)
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return unlessGone(e.Encode(document))
}

// textOrNull is null for what is not known.
func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// profileName is what people call a profile.
func profileName(profile string) string {
	if profile == "" {
		return repo.DefaultProfile
	}
	return profile
}

type jsonCounts struct {
	Asked       int `json:"asked"`
	Tests       int `json:"tests"`
	Passed      int `json:"passed"`
	Skipped     int `json:"skipped"`
	XFailed     int `json:"xfailed"`
	Flaky       int `json:"flaky"`
	Failed      int `json:"failed"`
	UxSuccess   int `json:"uxsuccess"`
	InProgress  int `json:"in_progress"`
	NotRun      int `json:"not_run"`
	NotAsked    int `json:"not_asked"`
	Unaccounted int `json:"unaccounted"`
}

func countsDocument(c event.Counts) jsonCounts {
	return jsonCounts{c.Asked, c.Tests, c.Passed, c.Skipped, c.XFailed, c.Flaky, c.Failed, c.UxSuccess,
		c.InProgress, c.NotRun, c.NotAsked, c.Unaccounted()}
}

// verdictOf says what a run has come to, in a word; null while it goes on.
func verdictOf(info repo.RunInfo) *string {
	if info.State == repo.Running {
		return nil
	}
	c := info.Counts
	c.Interrupted = c.Interrupted || info.State == repo.Interrupted
	verdict := c.Verdict().String()
	return &verdict
}

type jsonTest struct {
	ID       string     `json:"id"`
	Profile  string     `json:"profile"`
	Parent   *string    `json:"parent"`
	Status   *string    `json:"status"`
	Open     bool       `json:"open"`
	NotRun   *string    `json:"not_run"`
	Asked    bool       `json:"asked"`
	Runnable bool       `json:"runnable"`
	Attempts int        `json:"attempts"`
	Route    *string    `json:"route"`
	Tags     []string   `json:"tags"`
	Start    *time.Time `json:"start"`
	Seconds  *float64   `json:"seconds"`
	Measured bool       `json:"measured"`
}

func testDocument(t *event.Test) jsonTest {
	d := jsonTest{ID: t.ID, Profile: profileName(t.Profile), Parent: textOrNull(t.ParentID), Open: t.Open,
		Asked: t.Asked, Runnable: t.Runnable, Attempts: t.Attempts, Route: textOrNull(t.Route), Tags: t.Tags,
		Start: timeOrNull(t.Start), Measured: t.Measured}
	if t.Status != protocol.StatusNone {
		status := t.Status.String()
		d.Status = &status
	}
	if t.DidNotRun() {
		d.NotRun = &t.NotRun
	}
	if d.Tags == nil {
		d.Tags = []string{}
	}
	if t.Timed {
		seconds := t.Duration.Seconds()
		d.Seconds = &seconds
	}
	return d
}
