package runner

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"testr/internal/instance"
)

// promptPatience is how long something that was written may be on its way, give
// or take what a command takes.
const promptPatience = 10 * time.Second

// conversation is a command that is talked to.
type conversation struct {
	process instance.Process
	cancel  context.CancelFunc
	changed chan struct{} // has one when there is more
	ended   chan struct{} // closed when r is set
	r       ran

	mu     sync.Mutex
	stdout kept // guarded by mu
}

// Write takes what the command writes.
func (c *conversation) Write(b []byte) (int, error) {
	c.mu.Lock()
	_, _ = c.stdout.Write(b)
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return len(b), nil
}

// has reports whether the command has written something.
func (c *conversation) has(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.stdout.bytes, []byte(text))
}

// converse starts a command. One goroutine, which ends with it and is joined by
// finish, reads what it writes.
func (d *doctor) converse(ctx context.Context, at instance.Instance, cmd instance.Command) (*conversation, error) {
	ctx, cancel := context.WithCancel(ctx)
	p, err := at.Start(ctx, cmd)
	if err != nil {
		cancel()
		return nil, err
	}
	c := &conversation{process: p, cancel: cancel, changed: make(chan struct{}, 1), ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.r.follow(ctx, p, c, func() {})
	}()
	return c, nil
}

// await waits until the command has written something, and reports whether it
// has.
func (c *conversation) await(text string, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		if c.has(text) {
			return true
		}
		select {
		case <-c.changed:
		case <-c.ended:
			return c.has(text)
		case <-timer.C:
			return false
		}
	}
}

// write writes to the command, and doesn't wait for it: what it doesn't read has
// room in a pipe.
func (c *conversation) write(text string) { _, _ = c.process.Stdin().Write([]byte(text)) }

// finish ends the input and waits for the command's end, which it sees to after
// some time.
func (c *conversation) finish(limit time.Duration) {
	_ = c.process.Stdin().Close()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
	}
	c.cancel()
	<-c.ended
}

// buffering checks that bytes arrive when they are written, both ways.
func (p *patient) buffering(ctx context.Context, at place, took time.Duration) {
	const fix = "have it pass bytes on at once: srun -u, stdbuf -o0 before a filter, or no filter at all"
	if !p.carrier.stdin {
		return // which was told, and is what this is about
	}
	limit := min(p.Timeout, promptPatience+4*took)
	cmd, input := p.carrier.command("ask")
	c, err := p.converse(ctx, at, cmd)
	if err != nil {
		p.problem(checkBuffering, optionExecute, fixOf(err), "%v", err)
		return
	}
	c.write(string(input))
	asked := c.await("ask", limit)
	answered := false
	if asked {
		c.write("abc")
		answered = c.await("got abc", limit)
	}
	late := false
	if asked && !answered {
		c.write("\n")
		late = c.await("got abc", limit)
	}
	c.finish(limit)
	needed := p.streams()
	switch {
	case ctx.Err() != nil:
	case answered:
		p.ok(checkBuffering, "bytes arrive when they are written, both ways")
	case !asked && c.has("ask"):
		p.needed(needed, checkBuffering, fix, "what a command writes without a newline is held back until it ends")
	case !asked:
		p.needed(needed, checkBuffering, fix, "what a command writes did not come within %s: %s", short(limit), c.r.end())
	case late:
		p.needed(needed, checkBuffering, fix, "what is written to a command is held back until there is a newline")
	case c.has("got abc"):
		p.needed(needed, checkBuffering, fix,
			"what is written to a command, or what it writes then, is held back until its end")
	default:
		p.needed(needed, checkBuffering, fix, "what is written to a command while it runs does not get there")
	}
}

// cancels checks that a command ends on the instance when testr ends it here.
func (p *patient) cancels(ctx context.Context, at place) {
	word := "testr-" + rand.Text()
	cmd, input := p.carrier.command("stay", word)
	c, err := p.converse(ctx, at, cmd)
	if err != nil {
		p.problem(checkCancel, optionExecute, fixOf(err), "%v", err)
		return
	}
	c.write(string(input))
	_ = c.process.Stdin().Close()
	up := c.await(word, p.Timeout)
	begun := time.Now()
	c.cancel()
	<-c.ended
	took := time.Since(begun)
	said := strings.Fields(string(c.stdout.bytes))
	n := slices.Index(said, word) - 2
	if !up || n < 0 || strings.Trim(said[n], "0123456789") != "" {
		p.warn(checkCancel, optionExecute, "", "it was not tried: a command that stays has not said so: %s", c.r.end())
		return
	}
	pid, on := said[n], said[n+1]
	r := p.script(ctx, at, "alive", pid, word)
	state, host, _ := strings.Cut(lastLine(r.stdout.bytes), " ")
	switch {
	case !r.well():
		p.warn(checkCancel, optionExecute, "", "whether a command ends there that is ended here can't be told: %s", r.end())
	case host != on:
		p.warn(checkCancel, optionExecute, "",
			"whether a command ends there that is ended here can't be told: it was on %s, the next one on %s", on, host)
	case state == "yes":
		p.script(ctx, at, "kill", pid, word)
		p.warn(checkCancel, optionExecute, "have it end what it has started when it gets SIGTERM, "+
			"or instance_dispose do so; workers that read their input end with that",
			"a command that is ended here goes on there (it was process %s on %s)", pid, host)
	default:
		p.ok(checkCancel, "a command that is ended here ends there, in %s", short(took))
	}
}
