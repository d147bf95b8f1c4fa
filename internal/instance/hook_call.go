package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// hookGrace is the time between SIGTERM and SIGKILL for a hook that is ended.
const hookGrace = 500 * time.Millisecond

// hookCall is one call of a hook that gets instances or gives them back.
type hookCall struct {
	local   Provider
	section string
	option  string
	line    string // what a shell runs
	dir     string
	env     []string
	timeout time.Duration // 0 for as long as it likes
	limit   string        // the option that timeout comes from
	// word is called with each word that the hook prints, as soon as it is
	// complete. Its error ends the hook, and is the call's. Nil for a hook whose
	// output means nothing.
	word func(string) error
	// judge is called when the hook has ended well, and may find that it has not.
	judge func() error
}

// errNoIDs is what judge finds of a provision hook that said nothing.
var errNoIDs = errors.New("it printed no ids")

// run runs the hook to its end, which comes soon after ctx ends or the time is
// up. The error is a *HookError.
func (c *hookCall) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c.timeout > 0 {
		defer time.AfterFunc(c.timeout, func() {
			cancel(fmt.Errorf("it was ended after %v, which %s allows", c.timeout, c.limit))
		}).Stop()
	}
	stdout, stderr := &Tail{Limit: stdoutKept}, &Tail{Limit: stderrKept}
	err := c.follow(ctx, cancel, stdout, stderr)
	if err == nil {
		return nil
	}
	env := slices.Concat(environOf(c.local), c.env)
	failed := &HookError{
		Section: c.section, Option: c.option, Err: err, Stdout: shown(stdout, env), Stderr: shown(stderr, env)}
	if errors.Is(err, errNoIDs) {
		failed.Hint = "it has to print the ids of instances, apart by white space, on its standard output"
	}
	return failed
}

// follow starts the hook, reads what it writes and waits for its end.
func (c *hookCall) follow(ctx context.Context, cancel context.CancelCauseFunc, stdout, stderr *Tail) error {
	instances, err := c.local.Provision(ctx, 1)
	if err != nil {
		return err
	}
	place := instances[0]
	defer func() { _ = place.Close() }()
	cmd := Command{Args: []string{"/bin/sh", "-c", c.line}, Dir: c.dir, Env: c.env}
	p, err := place.Start(ctx, cmd)
	if err != nil {
		return err
	}
	_ = p.Stdin().Close()
	var helpers sync.WaitGroup
	ended := make(chan struct{})
	helpers.Go(func() { _, _ = io.Copy(stderr, p.Stderr()) }) // ends with the process, as does the next
	helpers.Go(func() { insist(ctx, ended, place) })
	rest := c.readWords(io.TeeReader(p.Stdout(), stdout), cancel)
	status, err := p.Wait()
	close(ended)
	helpers.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	if rest != "" { // a word that a hook was killed in may be the half of one
		err = c.word(rest)
	}
	switch {
	case !status.Success():
		return errors.Join(errors.New(status.String()), err)
	case err == nil && c.judge != nil:
		return c.judge()
	}
	return err
}

// insist kills what runs at place if it doesn't end in time when ctx has ended.
func insist(ctx context.Context, ended <-chan struct{}, place Instance) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	grace := time.NewTimer(hookGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		_ = place.Close()
	}
}

// readWords reads r to its end, and gives word what it has to have. It returns
// the last word, if nothing came after it.
func (c *hookCall) readWords(r io.Reader, cancel context.CancelCauseFunc) (rest string) {
	var word []byte
	failed := c.word == nil
	take := func(b []byte) {
		word = append(word, b...)
		for !failed {
			end := bytes.IndexAny(word, " \t\n\r\v\f")
			if end < 0 && len(word) <= maxID {
				return
			}
			next := word
			if end >= 0 {
				next = word[:end]
			}
			word = word[min(len(next)+1, len(word)):]
			if len(next) == 0 {
				continue
			}
			if err := c.word(string(next)); err != nil {
				cancel(err)
				failed = true
			}
		}
		word = nil
	}
	for buf := make([]byte, 4<<10); ; {
		n, err := r.Read(buf)
		take(buf[:n])
		if err != nil {
			return string(word)
		}
	}
}
