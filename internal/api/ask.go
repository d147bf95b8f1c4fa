package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"testr/internal/event"
	"testr/internal/repo"
)

// raw is the form of packets that takes the least time.
const raw = "subunit"

// ask asks a question.
func ask[A any](c *Client, name string, a Question) (answer A, err error) {
	path := "/v1/" + name
	if args := a.values().Encode(); args != "" {
		path += "?" + args
	}
	err = c.Call(context.Background(), http.MethodGet, path, nil, &answer)
	return answer, err
}

// Latest is as for *repo.Repository.
func (c *Client) Latest() (repo.RunInfo, error) { return ask[repo.RunInfo](c, "latest", Question{}) }

// Current is as for *repo.Repository.
func (c *Client) Current() (repo.RunInfo, error) { return ask[repo.RunInfo](c, "current", Question{}) }

// Run is as for *repo.Repository.
func (c *Client) Run(id int) (repo.RunInfo, error) {
	return ask[repo.RunInfo](c, "run", Question{Run: id})
}

// Runs is as for *repo.Repository.
func (c *Client) Runs() ([]repo.RunInfo, error) { return ask[[]repo.RunInfo](c, "runs", Question{}) }

// Tests is as for *repo.Repository.
func (c *Client) Tests(run int, profile string, choose repo.Choice) ([]*event.Test, error) {
	return ask[[]*event.Test](c, "tests", Question{Run: run, Profile: profile, Choose: choose})
}

// Ran is as for *repo.Repository.
func (c *Client) Ran(run int, profile string) (repo.Ran, error) {
	return ask[repo.Ran](c, "ran", Question{Run: run, Profile: profile})
}

// Slowest is as for *repo.Repository.
func (c *Client) Slowest(run int, profile string, limit int) ([]*event.Test, error) {
	return ask[[]*event.Test](c, "slowest", Question{Run: run, Profile: profile, Limit: limit})
}

// Failing is as for *repo.Repository.
func (c *Client) Failing(profile string) ([]repo.Failing, error) {
	return ask[[]repo.Failing](c, "failing", Question{Profile: profile})
}

// Timing is as for *repo.Repository.
func (c *Client) Timing(profile string) (map[string]time.Duration, error) {
	return ask[map[string]time.Duration](c, "timing", Question{Profile: profile})
}

// Listing is as for *repo.Repository.
func (c *Client) Listing(profile string) ([]string, error) {
	return ask[[]string](c, "listing", Question{Profile: profile})
}

// Schedule is as for *repo.Repository.
func (c *Client) Schedule(run int, profile, route string) ([]string, error) {
	return ask[[]string](c, "schedule", Question{Run: run, Profile: profile, Route: route})
}

// Left is as for *repo.Repository.
func (c *Client) Left(run int, profile string) (repo.Left, error) {
	return ask[repo.Left](c, "left", Question{Run: run, Profile: profile})
}

// Profiles is as for *repo.Repository.
func (c *Client) Profiles() ([]repo.Profile, error) {
	return ask[[]repo.Profile](c, "profiles", Question{})
}

// Leases is as for *repo.Repository.
func (c *Client) Leases() ([]repo.Lease, error) { return ask[[]repo.Lease](c, "leases", Question{}) }

// Stats is as for *repo.Repository.
func (c *Client) Stats() (repo.Stats, error) { return ask[repo.Stats](c, "stats", Question{}) }

// Flaky is as for *repo.Repository.
func (c *Client) Flaky(profile string) ([]repo.FlakyTest, error) {
	return ask[[]repo.FlakyTest](c, "flaky", Question{Profile: profile})
}

// Outcomes is as for *repo.Repository.
func (c *Client) Outcomes(profile, id string) ([]repo.TestOutcome, error) {
	return ask[[]repo.TestOutcome](c, "outcomes", Question{Profile: profile, Test: id})
}

// Excerpt is as for *repo.Repository.
func (c *Client) Excerpt(run int, want repo.Wanted, each func(event.Event) error) error {
	path := "/v1/excerpt?" + Question{Run: run, Packets: raw}.values().Encode()
	s, err := c.Stream(context.Background(), http.MethodPost, path, want)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	for {
		events, err := s.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := each(e); err != nil {
				return err
			}
		}
	}
}

// Follow is as for *repo.Repository. The events end with the client, too.
func (c *Client) Follow(run int, from uint64) (repo.Events, error) {
	path := "/v1/events?" + Question{Run: run, From: from, Packets: raw}.values().Encode()
	s, err := c.Stream(context.Background(), http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return s, nil
}
