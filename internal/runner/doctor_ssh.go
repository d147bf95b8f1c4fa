package runner

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"testr/internal/instance"
	"testr/internal/instance/sshdial"
	"testr/internal/instance/sshhost"
)

// The names of checks of hosts.
const (
	checkReach    = "reach"
	checkHostKey  = "host key"
	checkLogin    = "login"
	checkShell    = "shell"
	checkClock    = "clock"
	checkPlatform = "platform"
	checkSync     = "sync"
	checkSessions = "sessions"
	checkRelay    = "relay"
)

const (
	// clockTolerance is how far off a clock may be without a word.
	clockTolerance = 2 * time.Second
	// maxSessions is how many sessions are tried at once.
	maxSessions = 64
)

// examineSSH looks at a host, in the order in which a run would meet what is
// wrong with it.
func examineSSH(ctx context.Context, p *patient) {
	r := &remote{fleet: p.session.fleet, conf: p.conf}
	bare := p.reach(ctx, r)
	if bare == nil {
		return
	}
	p.clock(bare.Info())
	if !p.fits(bare.Info()) {
		return
	}
	made, err := bare.Provision(ctx, 1)
	if err != nil {
		p.problem(checkShell, "", fixOf(err), "%v", err)
		return
	}
	found := p.survey(ctx, made[0])
	if found == nil {
		return
	}
	there := p.directory(found)
	if p.conf.Sync {
		p.sync(found)
	}
	p.sessions(ctx, r, made[0])
	if there == isWrong {
		return
	}
	r.host = bare
	if there == isThere {
		r.host = r.newHost(p.conf.Directory, p.conf.Setup.Text, p.conf.Env)
		p.session.atEnd(r.host.Close)
	}
	p.beyond(ctx, r, there)
}

// beyond looks at what runs on a host: a relay, and workers.
func (p *patient) beyond(ctx context.Context, r *remote, there whether) {
	if !p.connects(ctx, r.host) {
		return
	}
	made, err := r.host.Provision(ctx, 1)
	if err != nil {
		p.problem(checkShell, "", fixOf(err), "%v", err)
		return
	}
	at := place{Instance: made[0]}
	if there == isThere && !p.setsUp(ctx, at) {
		return
	}
	if p.conf.Relay {
		relayed := p.relay(ctx, r)
		if relayed == nil {
			return
		}
		at = place{Instance: relayed}
	}
	if there == isToCome {
		p.warn(checkWorker, checkSync, "testr run --parallel brings the source tree",
			"none was started: the source tree is not there yet")
		return
	}
	more := ""
	if p.conf.Sync {
		more = "\n(with the source tree as the last run has brought it)"
	}
	p.works(ctx, at, more)
}

// connects connects to a host.
func (p *patient) connects(ctx context.Context, h *sshhost.Host) bool {
	ctx, cancel := p.step(ctx)
	defer cancel()
	err := h.Connect(ctx)
	if err != nil {
		p.problem(checkShell, "host", fixOf(err), "%v", plainly(err))
	}
	return err == nil
}

// plainly is an error without what the checks say anyway: that it is of an
// instance, and which.
func plainly(err error) error {
	if lost, ok := errors.AsType[*instance.LostError](err); ok {
		return lost.Err
	}
	return err
}

// reach connects to the host, in its home directory and with nothing around
// commands. The host is nil if that can't be done.
func (p *patient) reach(ctx context.Context, r *remote) *sshhost.Host {
	ctx, cancel := p.step(ctx)
	defer cancel()
	target, err := sshdial.Resolve(ctx, p.conf.Host, r.fleet.dialing())
	if err != nil {
		p.problem(checkReach, "host", fixOf(err), "%v", err)
		return nil
	}
	r.target.Store(target)
	h := r.newHost("", "", nil)
	p.session.atEnd(h.Close)
	err = h.Connect(ctx)
	reached := fmt.Sprintf("%s answers", target)
	switch {
	case err == nil:
		p.ok(checkReach, "%s, a round trip takes %s", reached, short(h.Info().RTT))
		p.ok(checkHostKey, "it is known")
		p.ok(checkLogin, "as %s", target.User)
		p.ok(checkShell, "it has one")
		return h
	case errors.Is(err, sshdial.ErrHostKeyUnknown), errors.Is(err, sshdial.ErrHostKeyChanged):
		p.ok(checkReach, "%s", reached)
		p.problem(checkHostKey, "host", fixOf(err), "%v", plainly(err))
	case errors.Is(err, sshdial.ErrAuthentication):
		p.ok(checkReach, "%s", reached)
		p.ok(checkHostKey, "it is known")
		p.problem(checkLogin, "host", fixOf(err), "%v", plainly(err))
	case errors.As(err, new(*sshdial.Error)):
		p.problem(checkReach, "host", fixOf(err), "%v", plainly(err))
	default:
		p.problem(checkShell, "host", "a host needs a POSIX shell, and room in ~/.cache or /tmp", "%v", plainly(err))
	}
	return nil
}

// clock compares the host's with this machine's.
func (p *patient) clock(i sshhost.Info) {
	off, side := i.Clock, "ahead"
	if off < 0 {
		off, side = -off, "behind"
	}
	said := fmt.Sprintf("it is %s %s, give or take %s", short(off), side, short(i.ClockError))
	if off-i.ClockError <= clockTolerance {
		p.ok(checkClock, "%s", said)
		return
	}
	p.warn(checkClock, "", "have the host's clock set, by NTP for example",
		"%s: durations of tests are right, as they are by the worker's clock alone; times of day in what they write are off",
		said)
}

// fits checks that testr can run there, where it has to.
func (p *patient) fits(i sshhost.Info) bool {
	said := fmt.Sprintf("%s %s", i.OS, i.Machine)
	if i.Processors > 0 {
		said += ", " + count(i.Processors, "processor", "processors")
	}
	err := fits(i)
	switch {
	case err == nil, !p.conf.Relay && !p.session.served():
		p.ok(checkPlatform, "%s", said)
		return true
	case p.session.served():
		p.problem(checkPlatform, "test_command", "take the host out, or run the tests in batches: worker=batch", "%v", err)
	default:
		p.problem(checkPlatform, "relay", "take relay=yes out: workers don't need it", "%v", err)
	}
	return false
}

// surveyScript says what there is on a host, a line each.
//
//go:embed survey.sh
var surveyScript string

// survey is what there is on a host, by what it is called in surveyScript; nil
// if that can't be found out.
func (p *patient) survey(ctx context.Context, on instance.Instance) map[string]string {
	r := p.run(ctx, on, instance.Command{Args: []string{"/bin/sh", "-c", surveyScript, "testr", p.conf.Directory}}, nil)
	if !r.well() {
		p.problem(checkShell, "", fixOf(r.err), "look around there: %s", r.end())
		return nil
	}
	found := make(map[string]string)
	for line := range strings.Lines(string(r.stdout.bytes)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		found[word] = rest
	}
	return found
}

// whether says of something whether it can be used.
type whether uint8

const (
	isWrong  whether = iota
	isThere          // it can
	isToCome         // a run makes it
)

// directory checks where commands are to run.
func (p *patient) directory(found map[string]string) whether {
	const option = checkDirectory
	dir := p.conf.Directory
	at, _ := strings.CutPrefix(dir, "./")
	_, there := found["there"]
	why, closed := found["closed"]
	_, synced := found["synced"]
	switch {
	case closed:
		p.problem(checkDirectory, option, "see who owns it there", "%s can't be used: %s", at, why)
		return isWrong
	case there && p.conf.Sync && !synced:
		p.ok(checkDirectory, "%s is there, without the source tree: a run brings it", at)
		return isToCome
	case there && dir == "":
		p.ok(checkDirectory, "the home directory, %s", found["there"])
		return isThere
	case there:
		p.ok(checkDirectory, "%s is there", found["there"])
		return isThere
	case !p.conf.Sync:
		p.problem(checkDirectory, option,
			fmt.Sprintf("name the one that has the tests, or have testr bring them: sync=yes. "+
				"A relative one begins in the home directory, which is %s", found["home"]),
			"there is no %s on %s", at, p.conf.Host)
		return isWrong
	case found["parent"] != "":
		p.problem(checkDirectory, option, "make it there, or name another one",
			"%s is not there, and can't be made in %s", at, found["parent"])
		return isWrong
	}
	p.ok(checkDirectory, "%s is not there yet: a run makes it", at)
	return isToCome
}

// sync says how the tree would be brought.
func (p *patient) sync(found map[string]string) {
	tools := strings.Fields(found["tools"])
	has := func(tool string) bool { return slices.Contains(tools, tool) }
	git := "what git doesn't ignore"
	if _, err := exec.LookPath("git"); err != nil {
		git = "all files, as there is no git here,"
		if p.conf.SyncExclude != nil {
			p.problem(checkSync, "sync_exclude", "install git on this machine, or take sync_exclude out",
				"sync_exclude needs git on this machine, and there is none")
			return
		}
	}
	_, err := exec.LookPath("rsync")
	switch sums := has("sha256sum") || has("shasum") || has("openssl"); {
	case err == nil && has("rsync"):
		p.ok(checkSync, "a run brings %s by rsync", git)
	case has("tar") && has("xargs") && sums:
		p.ok(checkSync, "a run brings %s by tar: rsync is not at both ends", git)
	default:
		p.problem(checkSync, checkSync, "install rsync at both ends, or tar, xargs and sha256sum there",
			"the source tree can't be brought: of rsync, tar, xargs, sha256sum, shasum and openssl the host has [%s]",
			strings.Join(tools, " "))
	}
}

// sessions opens as many sessions as there are to be workers.
func (p *patient) sessions(ctx context.Context, r *remote, on instance.Instance) {
	if p.conf.Relay {
		return // it needs one, and that is a check of its own
	}
	slots := max(1, p.conf.Slots)
	n := min(slots, maxSessions)
	before := r.dials.Load()
	ctx, cancel := p.step(ctx)
	defer cancel()
	failed := together(ctx, on, n)
	said := count(n, "session", "sessions") + " at once"
	if n < slots {
		said = fmt.Sprintf("%s, of %d that were not all tried", said, slots)
	}
	further := int(r.dials.Load() - before)
	switch {
	case failed != nil:
		p.problem(checkSessions, "slots", "raise MaxSessions and MaxStartups in the host's sshd_config, or set fewer slots",
			"%s can't be had: %v", said, plainly(failed))
	case further > 0:
		p.ok(checkSessions, "%s, over %d connections: more than MaxSessions of the host allows on one", said, further+1)
	default:
		p.ok(checkSessions, "%s, over one connection", said)
	}
}

// together runs so many commands on an instance at the same time, and returns
// the first error.
func together(ctx context.Context, on instance.Instance, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running, up sync.WaitGroup
	up.Add(n)
	all := make(chan struct{})
	for range n {
		running.Go(func() {
			arrived := sync.OnceFunc(up.Done)
			defer arrived()
			if err := waits(ctx, on, all, arrived); err != nil {
				cancel(err)
			}
		})
	}
	up.Wait()
	close(all)
	running.Wait()
	return context.Cause(ctx)
}

// waits runs a command that says that it is up, and then waits for all.
func waits(ctx context.Context, on instance.Instance, all <-chan struct{}, up func()) error {
	p, err := on.Start(ctx, instance.Command{Args: []string{"/bin/sh", "-c", "echo up; read -r end"}})
	if err != nil {
		return err
	}
	r := &ran{}
	r.follow(ctx, p, writerFunc(func([]byte) { up() }), func() {
		select {
		case <-all:
		case <-ctx.Done():
		}
		_ = p.Stdin().Close()
	})
	return r.err
}

// writerFunc is called with what is written.
type writerFunc func([]byte)

// Write never fails.
func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

// relay starts one, and gives an instance behind it.
func (p *patient) relay(ctx context.Context, r *remote) instance.Instance {
	ctx, cancel := p.step(ctx)
	defer cancel()
	begun := time.Now()
	err := r.startRelay(ctx)
	var made []instance.Instance
	if err == nil {
		made, err = r.client.Provision(ctx, 1)
	}
	if err != nil {
		p.problem(checkRelay, checkRelay, fixOf(err), "%v", plainly(err))
		return nil
	}
	hello := r.client.Hello()
	p.ok(checkRelay, "testr %s for %s, up in %s", hello.Version, hello.Platform, short(time.Since(begun)))
	return made[0]
}
