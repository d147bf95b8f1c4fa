package sshhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"testr/internal/instance"
)

// maxLine is how long a line of the keeper may be, and how much of what it
// writes to standard error is kept.
const maxLine = 4 << 10

// keeper is this side of a keeper. Its methods don't wait for the network, but
// for end. Its goroutines, which belong to the host's work, end with the life.
//
//	write    sends what is to be said, and signs of life
//	listen   takes what the keeper says
//	errors   keeps the end of what it writes to standard error
//	requests takes its exit status, which nobody needs
type keeper struct {
	life    *life
	session *session
	lines   *bufio.Reader
	trouble instance.Tail

	said chan struct{} // has one when there is something to send
	gone chan struct{} // closed when listen ends
	bye  bool          // set before gone is closed: it has ended everything

	// mu guards what follows.
	mu      sync.Mutex
	pending []byte          // to send
	sent    []chan struct{} // to be closed when that was sent
	asked   map[string]chan<- struct{}
	ending  bool
	paused  int // commands
}

// directoryError says that the configured directory can't be used. That is no
// loss: the host is there.
type directoryError struct{ text string }

func (e *directoryError) Error() string { return e.text }

// startKeeper starts a keeper and waits until it is ready.
func (l *life) startKeeper(ctx context.Context, base string) (*keeper, error) {
	s, err := l.openSession(ctx)
	if err != nil {
		return nil, err
	}
	k := &keeper{
		life: l, session: s, lines: bufio.NewReaderSize(s, maxLine),
		said: make(chan struct{}, 1), gone: make(chan struct{}),
		asked: make(map[string]chan<- struct{}),
	}
	l.host.work.Go(func() { ssh.DiscardRequests(s.requests) })
	l.host.work.Go(func() { _, _ = io.Copy(&k.trouble, s.Stderr()) })
	request, input := bootstrap(l.keeperScript(base))
	if err := s.exec(request); err != nil {
		return nil, err
	}
	_, _ = io.WriteString(s, input) // the session says why it has ended, if it has
	if err := k.hear(ctx); err != nil {
		return nil, err
	}
	l.host.work.Go(k.write)
	l.host.work.Go(k.listen)
	return k, nil
}

// exec asks for the command of a session.
func (s *session) exec(request string) error {
	ok, err := s.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{request}))
	switch {
	case err != nil:
		return fmt.Errorf("ask for a command: %w", err)
	case !ok:
		return errors.New("the server runs no commands")
	}
	return nil
}

// keeperScript is the keeper with what it has to know.
func (l *life) keeperScript(base string) string {
	bases := "base /tmp\nbase \"$HOME/.cache/testr\"\n"
	if base != "" {
		bases = "base " + instance.Quote(base) + "\n"
	}
	made := ""
	if l.host.cfg.MakeDirectory {
		made = "yes"
	}
	limit := max(1, int(l.host.cfg.Silence/time.Second))
	return assign("token", l.token) + assign("link", l.host.id) + assign("name", l.name) +
		assign("directory", l.host.cfg.Directory) + assign("make", made) + assign("limit", strconv.Itoa(limit)) +
		"bases() {\n" + bases + "}\n" + keeperScript
}

// line is the next line that the keeper says, in two words. What a login shell
// says before is passed over.
func (k *keeper) line() (verb, rest string, err error) {
	for {
		line, err := k.lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", "", err
		}
		if _, said, ok := strings.Cut(string(line), k.life.token+" "); ok {
			verb, rest, _ = strings.Cut(strings.TrimSuffix(said, "\n"), " ")
			return verb, rest, nil
		}
		if k.life.run == "" {
			_, _ = k.trouble.Write(line)
		}
	}
}

// hear takes what the keeper says of its host, until it is ready.
func (k *keeper) hear(ctx context.Context) error {
	l := k.life
	var trouble []string
	for {
		verb, rest, err := k.line()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && len(trouble) > 0:
			return fmt.Errorf("make a directory on %s %s", l.host.cfg.Host, strings.Join(trouble, "; "))
		case err != nil:
			return fmt.Errorf("run a shell on %s: it has ended%s", l.host.cfg.Host, said(": ", &k.trouble))
		}
		switch verb {
		case "trouble":
			trouble = append(trouble, rest)
		case "run":
			l.run, l.base = rest, path.Dir(rest)
		case "home":
			l.info.Home = rest
		case "os":
			l.info.OS = rest
		case "machine":
			l.info.Machine = rest
		case "processors":
			l.info.Processors, _ = strconv.Atoi(rest) // unknown there: 0
		case "missing", "closed":
			return l.wrongDirectory(verb, rest)
		case "ready":
			return k.askClock(ctx)
		}
	}
}

// wrongDirectory says what is wrong with the configured directory.
func (l *life) wrongDirectory(verb, why string) error {
	cfg := l.host.cfg
	text := fmt.Sprintf("instance %s: directory %s does not exist on %s", cfg.Name, cfg.Directory, cfg.Host)
	switch {
	case verb == "closed":
		text = fmt.Sprintf("instance %s: directory %s on %s can't be used: %s", cfg.Name, cfg.Directory, cfg.Host, why)
	case why != "":
		text = fmt.Sprintf("instance %s: directory %s can't be made on %s: %s", cfg.Name, cfg.Directory, cfg.Host, why)
	}
	return &directoryError{text}
}

// askClock finds out how far the host's clock is from ours.
func (k *keeper) askClock(ctx context.Context) error {
	asked := time.Now()
	if _, err := io.WriteString(k.session, "clock\n"); err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	for {
		verb, rest, err := k.line()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("ask for the time: %w%s", err, said(": ", &k.trouble))
		case verb != "clock":
			continue
		}
		took := time.Since(asked)
		k.life.info.RTT = took
		if rtt := k.life.connections[0].conn.RTT(); rtt > 0 {
			k.life.info.RTT = rtt
		}
		there, exact := parseClock(rest)
		k.life.info.ClockError = took / 2
		if !exact { // within the second it may be anywhere
			there = there.Add(time.Second / 2)
			k.life.info.ClockError += time.Second / 2
		}
		k.life.info.Clock = there.Sub(asked.Add(took / 2))
		return nil
	}
}

// parseClock reads seconds since 1970, and nanoseconds from those that have them.
func parseClock(s string) (t time.Time, exact bool) {
	whole, part, _ := strings.Cut(s, " ")
	seconds, _ := strconv.ParseInt(whole, 10, 64)
	nanoseconds, err := strconv.ParseInt(part, 10, 64)
	if err != nil || nanoseconds < 0 || nanoseconds >= int64(time.Second) {
		return time.Unix(seconds, 0), false
	}
	return time.Unix(seconds, nanoseconds), true
}

// say has the keeper told something. What is said first is heard first.
func (k *keeper) say(line string) {
	k.mu.Lock()
	k.pending = append(k.pending, line+"\n"...)
	k.mu.Unlock()
	select {
	case k.said <- struct{}{}:
	default:
	}
}

// tell has a command's process group signalled; the name is without SIG.
func (k *keeper) tell(key, signal string) { k.say("tell " + key + " " + signal) }

// over says that a command has ended. What is returned is closed when the
// keeper says so, too, and it was not the keeper that has ended it.
func (k *keeper) over(key string) <-chan struct{} {
	heard := make(chan struct{})
	k.mu.Lock()
	k.asked[key] = heard
	k.mu.Unlock()
	k.say("over " + key)
	return heard
}

// confirm takes the keeper's word that a command was over.
func (k *keeper) confirm(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if heard := k.asked[key]; heard != nil {
		close(heard)
		delete(k.asked, key)
	}
}

// hold says that a command was paused (1) or goes on (-1): while one is paused,
// this process may be, too, and silence means nothing.
func (k *keeper) hold(more int) {
	k.mu.Lock()
	k.paused = max(0, k.paused+more) // what was paused may be of an earlier life
	k.mu.Unlock()
	k.say(k.sign())
}

// sentPatience is how long pausing something waits for the keeper to be told: who
// pauses is about to be stopped.
const sentPatience = time.Second

// flush waits until all that was said is on its way.
func (k *keeper) flush() {
	sent := make(chan struct{})
	k.mu.Lock()
	k.sent = append(k.sent, sent)
	k.mu.Unlock()
	select {
	case k.said <- struct{}{}:
	default:
	}
	limit := time.NewTimer(sentPatience)
	defer limit.Stop()
	select {
	case <-sent:
	case <-k.life.lost:
	case <-limit.C:
	}
}

// sign is a sign of life.
func (k *keeper) sign() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.paused > 0 {
		return "hold"
	}
	return "beat"
}

// write sends what there is to say, and signs of life.
func (k *keeper) write() {
	beat := time.NewTicker(max(k.life.host.cfg.Silence/6, time.Second/4))
	defer beat.Stop()
	for {
		select {
		case <-k.said:
		case <-beat.C:
			k.say(k.sign())
		case <-k.life.lost:
			return
		}
		k.mu.Lock()
		text, sent := k.pending, k.sent
		k.pending, k.sent = nil, nil
		k.mu.Unlock()
		if _, err := k.session.Write(text); err != nil {
			return // listen sees it, too
		}
		for _, s := range sent {
			close(s)
		}
	}
}

// listen waits for the keeper's end, which is the life's.
func (k *keeper) listen() {
	defer close(k.gone)
	for {
		verb, rest, err := k.line()
		if verb == "bye" {
			k.bye = true
			return
		}
		if err != nil {
			break
		}
		if verb == "over" {
			k.confirm(rest)
		}
	}
	k.mu.Lock()
	ending := k.ending
	k.mu.Unlock()
	if ending {
		return
	}
	// If it is the connection that has ended, it says so in a moment, and better.
	select {
	case <-k.life.lost:
	case <-k.session.on.conn.Lost():
		k.life.fail(k.session.on.conn.Err())
	case <-time.After(time.Second):
		k.life.fail(fmt.Errorf("the keeper of its commands has ended%s", said(": ", &k.trouble)))
	}
}

// end has the keeper end everything, and waits for that.
func (k *keeper) end() error {
	k.mu.Lock()
	k.ending = true
	k.mu.Unlock()
	k.say("end")
	limit := time.NewTimer(closePatience)
	defer limit.Stop()
	select {
	case <-k.gone:
	case <-k.life.lost:
	case <-limit.C:
		return fmt.Errorf("nothing was heard for %v", closePatience)
	}
	if k.life.over() { // who lost it knows: the host ends everything by itself
		return nil
	}
	if !k.bye {
		return fmt.Errorf("its keeper has ended before it was done%s", said(": ", &k.trouble))
	}
	return nil
}

// said is what a remote shell has said of its trouble, on one line behind a
// prefix; empty if that is nothing.
func said(prefix string, t *instance.Tail) string {
	text := strings.Join(strings.Fields(t.String()), " ")
	if text == "" {
		return ""
	}
	return prefix + text
}
