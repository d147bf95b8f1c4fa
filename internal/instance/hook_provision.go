package instance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxID is how long an id may be, in bytes.
const maxID = 255

// retryPauses are those between two tries to provision, of which there are one
// more.
var retryPauses = [...]time.Duration{100 * time.Millisecond, 300 * time.Millisecond}

// fatalError is one that no further try would mend.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

// provisioning is a call of Hook.Provision. It belongs to its goroutine.
type provisioning struct{ hook *Hook }

// provision gets ids of at most count instances, and of one at least.
func (p *provisioning) provision(ctx context.Context, count int) ([]string, error) {
	got := p.takeSpares(count)
	var err error
	for failures := 0; len(got) < count; {
		var more []string
		if more, err = p.round(ctx, count-len(got)); err == nil {
			failures = 0
			got = append(got, more...)
			continue
		}
		var fatal fatalError
		if p.hook.Once || failures == len(retryPauses) || errors.As(err, &fatal) || !pause(ctx, retryPauses[failures]) {
			break
		}
		failures++
	}
	switch {
	case len(got) == count:
		return got, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx) // whatever the hook said of it
	case len(got) > 0:
		p.hook.warn(fmt.Errorf("got %d instances instead of %d: %w", len(got), count, err))
		return got, nil
	}
	p.hook.warn(p.hook.giveBack(got))
	return nil, err
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// takeSpares takes up to count ids that nobody had asked for.
func (p *provisioning) takeSpares(count int) []string {
	h := p.hook
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(max(count, 0), len(h.spares))
	got := append([]string(nil), h.spares[:n]...)
	h.spares = h.spares[n:]
	return got
}

// round calls the provision hook once, for want instances. It gives back what a
// hook had got that failed, and puts aside what it got too many.
func (p *provisioning) round(ctx context.Context, want int) ([]string, error) {
	h := p.hook
	working, err := p.begin()
	if err != nil {
		return nil, err
	}
	ids, err := p.call(ctx, want)
	if h.journals() {
		if forgotten := h.Journal.Remove(working.Key); forgotten != nil {
			h.warn(fmt.Errorf("take a hook that has ended out of the journal: %w", forgotten))
		}
	}
	if err != nil {
		h.warn(h.giveBack(ids))
		return nil, err
	}
	if len(ids) > want {
		h.mu.Lock()
		h.spares = append(h.spares, ids[want:]...)
		h.mu.Unlock()
		ids = ids[:want]
	}
	return ids, nil
}

// begin has the journal know that a hook is at work.
func (p *provisioning) begin() (lease Lease, err error) {
	if !p.hook.journals() {
		return lease, nil
	}
	lease = p.hook.lease("")
	if lease.Key, err = p.hook.Journal.Put(lease); err != nil {
		return lease, fatalError{fmt.Errorf("note in the journal that a hook is at work: %w", err)}
	}
	return lease, nil
}

// call calls the provision hook. The ids are held, whether it failed or not.
func (p *provisioning) call(ctx context.Context, want int) (ids []string, err error) {
	h := p.hook
	const option = "instance_provision"
	line, err := expand(h.Commands.Provision, token{name: tokenCount, words: []string{strconv.Itoa(want)}})
	if err != nil {
		return nil, fatalError{&HookError{Section: h.Section, Option: option, Err: err}}
	}
	call := hookCall{
		local: h.Local, section: h.Section, option: option, line: line, dir: h.Dir, env: h.Env,
		timeout: h.ProvisionTimeout, limit: "provision_timeout",
	}
	call.word = func(id string) error {
		if len(ids) >= 2*want+maxExtra {
			return fmt.Errorf("it printed more than %d ids where %d were asked for", len(ids), want)
		}
		if err := p.hold(id); err != nil {
			return err
		}
		ids = append(ids, id)
		return nil
	}
	call.judge = func() error {
		if len(ids) == 0 {
			return errNoIDs
		}
		return nil
	}
	err = call.run(ctx)
	return ids, err
}

// maxExtra bounds how many ids a hook may print beyond twice what it was asked
// for.
const maxExtra = 100

// hold puts an instance into the journal. Only then anybody may use it.
func (p *provisioning) hold(id string) error {
	if what := refuseID(id); what != "" {
		return fmt.Errorf("it printed %.80q, which is no id: %s", id, what)
	}
	h := p.hook
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.held[id]; ok {
		return fmt.Errorf("it printed the id %q, which another instance has", id)
	}
	lease := h.lease(id)
	lease.Key = h.leaked[id].Key // it was there already: the hook has got it once more
	if h.journals() {
		var err error
		if lease.Key, err = h.Journal.Put(lease); err != nil {
			// It is there, and somebody has to give it back.
			h.held[id] = lease
			return fatalError{fmt.Errorf("note the instance %s in the journal: %w", id, err)}
		}
	}
	delete(h.leaked, id)
	h.held[id] = lease
	return nil
}

// refuseID says why a word can't be an id: it could not be given to a command,
// or shown to a person.
func refuseID(id string) string {
	switch {
	case len(id) > maxID:
		return "it is longer than " + strconv.Itoa(maxID) + " bytes"
	case !utf8.ValidString(id):
		return "it is not UTF-8"
	case strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "it has a character that can't be printed"
	case strings.HasPrefix(id, "-"):
		return "it begins like an option"
	}
	return ""
}
