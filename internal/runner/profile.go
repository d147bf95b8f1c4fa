package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"testr/internal/config"
	"testr/internal/event"
	"testr/internal/repo"
)

// profile is one of those that a session runs. It belongs to the session's
// goroutine, as the session does.
type profile struct {
	config.Profile
	session *session
	plan    *plan
	current // run
}

// current is what a session knows of a profile in the run that goes on.
type current struct {
	mode mode
	left *left // what the last run left, with --resume
	// listing is the whole listing, for the next run; nil if there was none.
	// torn says that it lacks tests, because something could not be imported or
	// built. The lister sets both.
	listing []string
	torn    bool
}

// newProfiles makes the plans of all profiles of the request.
func (s *session) newProfiles() error {
	chosen, err := s.req.Chosen()
	if err != nil {
		return err
	}
	if err := s.req.Config.CheckRun(chosen); err != nil {
		return err
	}
	for i, c := range chosen {
		temp := filepath.Join(s.temp, strconv.Itoa(i))
		if err := os.Mkdir(temp, 0o700); err != nil {
			return fmt.Errorf("make a temporary directory: %w", err)
		}
		p := &profile{Profile: c, session: s}
		if p.plan, err = newPlan(s.req, &p.Profile, temp); err != nil {
			return err
		}
		s.profiles = append(s.profiles, p)
	}
	return nil
}

// Chosen are the profiles of the request: those that were chosen, or else those that
// run by default.
func (r *Request) Chosen() ([]config.Profile, error) {
	if r.Profiles != nil {
		return r.Profiles, nil
	}
	return r.Config.Choose()
}

// queries are who is asked about earlier runs.
func (r *Request) queries() repo.Queries {
	if r.Ask != nil {
		return r.Ask
	}
	return r.Repo
}

// TakeProfiles has a request that takes up a run, by Resume or Like, be about the
// profiles of that run, where nobody chose others.
func (r *Request) TakeProfiles() (err error) {
	if r.Profiles != nil || !r.Select.Resume && r.Select.Like == nil {
		return nil
	}
	var info repo.RunInfo
	if like := r.Select.Like; like != nil && like.Run != LastRun {
		info, err = r.queries().Run(like.Run)
	} else {
		info, err = r.queries().Latest()
	}
	if err != nil {
		return nil //nolint:nilerr // whoever takes it up says more of it
	}
	names := slices.DeleteFunc(slices.Clone(info.Profiles), func(name string) bool {
		return !slices.Contains(r.Config.ProfileNames(), name)
	})
	if len(names) > 0 {
		r.Profiles, err = r.Config.Choose(names...)
	}
	return err
}

// key is the profile's name in events, and where the supervisor is concerned.
func (p *profile) key() string {
	if p.Line == 0 {
		return ""
	}
	return p.Name
}

// named puts the profile's name before an error, where there is a choice of them.
func (p *profile) named(err error) error {
	if err == nil || len(p.session.profiles) == 1 {
		return err
	}
	return fmt.Errorf("profile %s: %w", p.Name, err)
}

// warn tells the log of something about the profile, and what to do about it.
func (p *profile) warn(what, hint string) {
	args := []any{"hint", hint}
	if len(p.session.profiles) > 1 {
		args = append([]any{"profile", p.Name}, args...)
	}
	p.session.req.Log.Warn(what, args...)
}

// unlisted reports whether the test command runs what it finds, whatever that is.
func (p *profile) unlisted() bool { return p.mode == modePlain }

// full reports whether the run is to have everything that there is.
func (s *session) full() bool { return s.req.Select.all() && !s.req.Partial }

// partial reports whether a run that is over says something about the tests it
// had of the profile, and nothing about others. Of a run that was not listed nobody
// knows what it should have had; that its command broke off is the only sign.
func (p *profile) partial(o *event.Outcomes, err error) bool {
	c := o.ByProfile()[p.key()]
	if p.torn || p.unlisted() && o.Get(p.key(), event.ReturnCode) != nil {
		return true
	}
	return !p.session.full() || err != nil || o.Interrupted() || c.NotRun > 0 || c.Unaccounted() > 0 || c.InProgress > 0
}

// served reports whether workers of any profile are testr itself.
func (s *session) served() bool {
	return slices.ContainsFunc(s.profiles, func(p *profile) bool { return p.plan.self })
}

// none reports whether an error says that a profile has nothing to run, be that
// right or not. Other profiles may have something.
func none(err error) bool {
	_, is := errors.AsType[*NothingError](err)
	return is || errors.Is(err, ErrNoMatch)
}

// able reports whether the profile can run in a group's slots.
func (p *profile) able(g *group) bool {
	return g.profiles == nil || slices.Contains(g.profiles, p.Name)
}

// names are the profiles' names.
func names(profiles []*profile) []string {
	all := make([]string, len(profiles))
	for i, p := range profiles {
		all[i] = p.Name
	}
	return all
}
