package runner

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"testr/internal/supervisor"
)

// listings is where the tests are listed: as in a run, on this machine if tests
// run here, else on the first place that can do it.
type listings struct {
	local sync.WaitGroup // places on this machine that may still list
	turn  sync.Mutex     // is held by who lists, and guards what follows
	of    []inventory    // those of each profile
}

// inventory is where the listing of a profile stands.
type inventory struct {
	tried   bool     // somebody has listed, or tried to
	settled bool     // nobody else needs to
	tests   []string // that were listed
}

// lists lists the tests of the n-th profile, if no other place has done so.
func (p *patient) lists(ctx context.Context, at place, n int, more string) {
	if !p.local {
		p.listings.local.Wait()
	}
	p.listings.turn.Lock()
	defer p.listings.turn.Unlock()
	pr, l := p.session.profiles[n], &p.listings.of[n]
	lister, ids, err := pr.plan.listing()
	if l.settled || ctx.Err() != nil {
		return
	}
	l.tried, l.settled = true, true
	cfg := p.session.req.Config
	c := Check{Name: checkListing, Outcome: CheckOK, File: cfg.File, Line: pr.commandLine()}
	defer func() {
		c.Detail = pr.said(c.Detail)
		p.tell(c)
	}()
	switch {
	case err != nil:
		c.Outcome, c.Detail, c.Fix = CheckWarning, withoutPlace(err, cfg, pr.TestCommand.Line), fixOf(err)
		return
	case lister == nil:
		l.tests = ids
		c.Detail = fmt.Sprintf("%s, as test_id_list_default says", count(len(ids), "test", "tests"))
		return
	}
	begun := time.Now()
	listing, err := p.listing(ctx, at, lister)
	if err != nil {
		c.Outcome, c.Fix = CheckProblem, fixOf(err)
		c.Detail = "on " + p.name + saying(err.Error()) + more
		if unfit(err) && !p.alone {
			l.settled = false
			c.Outcome = CheckWarning
			c.Detail += "\na run would ask another place"
		}
		return
	}
	l.tests = listing.Tests
	p.strange(c, listing)
	c.Detail = fmt.Sprintf("%s in %s, on %s", count(len(listing.Tests), "test", "tests"), short(time.Since(begun)), p.name)
}

// listing is what a lister says on an instance.
func (p *patient) listing(ctx context.Context, at place, lister *line) (supervisor.Listing, error) {
	cmd, err := lister.command(at)
	if err != nil {
		return supervisor.Listing{}, err
	}
	ctx, cancel := p.step(ctx)
	defer cancel()
	listing, err := supervisor.List(ctx, at, cmd)
	if err != nil {
		return listing, err
	}
	return listing, empty(listing, cmd.Args[len(cmd.Args)-1])
}

// strange warns of what a listing says beside tests.
func (p *patient) strange(c Check, listing supervisor.Listing) {
	c.Outcome = CheckWarning
	var failed []string
	for _, packet := range listing.Packets {
		if packet.Status.Final() && len(failed) < saidLines {
			failed = append(failed, packet.TestID)
		}
	}
	if failed != nil {
		c.Detail = "these can't be listed, and fail a run" + saying(strings.Join(failed, "\n")) + saying(listing.Text)
		c.Fix = "testr list-tests shows what is listed"
		p.tell(c)
	}
	if n := len(listing.Duplicates); n > 0 {
		c.Detail = fmt.Sprintf("%s twice, and run once%s", count(n, "test is listed", "tests are listed"),
			saying(strings.Join(listing.Duplicates[:min(n, saidLines)], "\n")))
		c.Fix = ""
		p.tell(c)
	}
}
