package main

import (
	"encoding/json"
	"slices"
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

type jsonProfileRun struct {
	Name    string     `json:"name"`
	Partial bool       `json:"partial"`
	Counts  jsonCounts `json:"counts"`
	Bytes   int64      `json:"bytes"`
}

type jsonRun struct {
	ID        int              `json:"id"`
	State     string           `json:"state"`
	Verdict   *string          `json:"verdict"`
	Why       *string          `json:"why"`
	Start     *time.Time       `json:"start"`
	End       *time.Time       `json:"end"`
	Seconds   *float64         `json:"seconds"`
	Command   []string         `json:"command"`
	Selection []string         `json:"selection"`
	Seed      *uint64          `json:"seed"`
	Host      *string          `json:"host"`
	User      *string          `json:"user"`
	Revision  *string          `json:"revision"`
	Dirty     bool             `json:"dirty"`
	Counts    jsonCounts       `json:"counts"`
	Bytes     int64            `json:"bytes"`
	Profiles  []jsonProfileRun `json:"profiles"`
}

func runDocument(info repo.RunInfo) jsonRun {
	d := jsonRun{ID: info.ID, State: info.State.String(), Verdict: verdictOf(info), Why: textOrNull(info.Why),
		Start: timeOrNull(info.Start), End: timeOrNull(info.End), Command: info.Command, Selection: info.Selection,
		Host: textOrNull(info.Host), User: textOrNull(info.User), Revision: textOrNull(info.Revision),
		Dirty: info.Dirty, Counts: countsDocument(info.Counts), Bytes: info.Bytes(), Profiles: []jsonProfileRun{}}
	if info.State != repo.Running {
		seconds := info.Duration().Seconds()
		d.Seconds = &seconds
	}
	if info.Random {
		d.Seed = &info.Seed
	}
	for _, list := range []*[]string{&d.Command, &d.Selection} {
		if *list == nil {
			*list = []string{}
		}
	}
	for _, p := range info.ByProfile {
		d.Profiles = append(d.Profiles, jsonProfileRun{p.Name, p.Partial, countsDocument(p.Counts), p.Bytes})
	}
	return d
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
		Asked: t.Asked, Runnable: t.Runnable || withoutOutcome(t), Attempts: t.Attempts, Route: textOrNull(t.Route),
		Tags: t.Tags, Start: timeOrNull(t.Start), Measured: t.Measured}
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

// withoutOutcome says that a test was asked for, which can be done again, as there is
// nothing of it that says otherwise.
func withoutOutcome(t *event.Test) bool { return t.Asked && t.Status == protocol.StatusNone }

// jsonRoute is where a worker of a run was.
type jsonRoute struct {
	Route    string `json:"route"`
	Host     string `json:"host"`
	Instance string `json:"instance"`
}

// writeRun writes a run that is over, with the tests of those of its profiles that
// info has.
func writeRun(env *environment, r repo.Queries, info repo.RunInfo) error {
	document := struct {
		Version int         `json:"version"`
		Run     jsonRun     `json:"run"`
		Routes  []jsonRoute `json:"routes"`
		Tests   []jsonTest  `json:"tests"`
	}{documentVersion, runDocument(info), []jsonRoute{}, []jsonTest{}}
	for _, profile := range info.Profiles {
		tests, err := r.Tests(info.ID, profile, 0)
		if err != nil {
			return err
		}
		for _, t := range tests {
			document.Tests = append(document.Tests, testDocument(t))
		}
	}
	err := r.Excerpt(info.ID, repo.Wanted{Beside: true}, func(e event.Event) error {
		if s, ok := event.ParseStarted(e.Detail); ok && e.Kind == event.KindWorkerStarted {
			if route := (jsonRoute{s.Route, s.Host, s.Instance}); !slices.Contains(document.Routes, route) {
				document.Routes = append(document.Routes, route)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeDocument(env, document)
}
