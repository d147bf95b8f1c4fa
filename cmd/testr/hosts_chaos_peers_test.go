//go:build peers

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"testr/internal/event"
	"testr/internal/lab"
	"testr/internal/protocol"
)

// chaosSeeds is how many seeds to try: n, or a two-hundredth of TESTR_SEEDS.
func chaosSeeds(t *testing.T, n int) int {
	t.Helper()
	s := os.Getenv("TESTR_SEEDS")
	if s == "" {
		return n
	}
	all, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("TESTR_SEEDS: %v", err)
	}
	return max(1, all/200)
}

// TestChaos: whatever becomes of hosts in the middle of a run, as long as one
// place stays every test passes once, the run ends well, and nothing is left. The
// name of a subtest is its seed: with the same one, the same things happen, if not
// to the same tests.
func TestChaos(t *testing.T) {
	t.Parallel()
	for seed := range chaosSeeds(t, 2) {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			newChaos(t, uint64(seed)).run()
		})
	}
}

// chaosTests is how many tests there are. They take 100 ms on average.
const chaosTests = 250

// chaos is a run to whose hosts things happen.
type chaos struct {
	t     *testing.T
	rand  *rand.Rand
	lab   *lab.Lab
	p     *project
	begun time.Time
	kinds []string       // how each host is reached
	undo  map[int]undo   // what has happened to hosts and is to be undone, by host
	dirs  map[string]int // directories of keepers, and their hosts

	deadly      bool     // something has happened that may fail a test
	interrupted bool     // somebody has
	happened    []string // all that has, for people
}

// undo ends what happens to a host.
type undo struct {
	at time.Time
	do func() error
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{t: t, rand: rand.New(rand.NewPCG(seed, 4)), undo: map[int]undo{}, dirs: map[string]int{}}
	tests := ""
	for i := range chaosTests {
		tests += fmt.Sprintf("m.C%02d.test_%03d_takes_%d\n", i%20, i, 5+c.rand.IntN(196))
	}
	// So a host doesn't take a connection for alive for minutes, or wait for a login.
	opts := lab.Options{Host: func(int) lab.HostOptions {
		return lab.HostOptions{Config: []string{"ClientAliveInterval 2", "ClientAliveCountMax 2", "LoginGraceTime 20"},
			MaxSessions: []int{0, 0, 2, 3}[c.rand.IntN(4)]}
	}}
	c.lab, c.p = newLab(t, 3, opts, map[string]string{"tests": tests, "provision": provisionScript})
	c.p.addSSH(c.lab, append(slices.Clone(impatient), "Host *", " ConnectTimeout 3", "")...)
	conf := streaming + "[instance here]\ntype=local\nslots=1\n"
	for _, h := range c.lab.Hosts {
		kind := []string{"ssh", "ssh", "relay", "relay", "hooks"}[c.rand.IntN(5)]
		c.kinds = append(c.kinds, kind)
		slots := fmt.Sprintf("slots=%d", 1+c.rand.IntN(3))
		switch kind {
		case "ssh":
			conf += c.p.section(h.Name, slots)
		case "relay":
			conf += c.p.section(h.Name, slots, "relay=yes")
		default:
			conf += fmt.Sprintf("[instance %s]\ntype=hook\n%s\ninstance_provision=./provision $INSTANCE_COUNT\n"+
				"instance_execute=exec ssh -F %s %s \"cd '%s' && PATH='%s' exec\" $COMMAND\n"+
				"instance_dispose=cd slots && rm $INSTANCE_IDS\n",
				h.Name, slots, c.p.path(".home/.ssh/config"), h.Name, c.p.dir, os.Getenv("PATH"))
		}
	}
	c.p.write(".testr.conf", conf)
	check(t, os.Chmod(c.p.path("provision"), 0o755))
	c.p.want(0, "init")
	return c
}

// run makes the run, and what happens to it.
func (c *chaos) run() {
	t := c.t
	t.Logf("the hosts are reached by %v", c.kinds)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what has happened:\n%s", strings.Join(c.happened, "\n"))
		}
	})
	c.begun = time.Now()
	b := c.p.start("run", "--parallel", "--retries", "2")
	var interrupt <-chan time.Time // of every fifth run
	if c.rand.IntN(5) == 0 {
		interrupt = time.After(time.Duration(c.rand.IntN(6000)) * time.Millisecond)
	}
	for over := false; !over; {
		select {
		case <-time.After(time.Duration(50+c.rand.IntN(500)) * time.Millisecond):
			c.strike()
		case <-interrupt:
			c.interrupted = true
			b.signal(syscall.SIGINT)
		case <-b.exited:
			over = true
		}
		c.look()
		c.mend(time.Now())
		over = over || time.Since(c.begun) > patience // wait tells
	}
	res := b.wait()
	took := time.Since(c.begun)
	c.mend(time.Now().Add(time.Hour))
	t.Logf("%d things have happened in %v", len(c.happened), took.Round(time.Millisecond))
	wantNoPanic(t, "testr run", res.err)
	if want := c.wantOutcomes(); res.status != want {
		t.Errorf("got exit status %d; want %d", res.status, want)
	}
	c.wantNothing()
	if t.Failed() {
		t.Logf("%s%s", res.out, res.err)
	}
}

// fault is something that can happen to a host.
type fault struct {
	name string
	// deadly says that a test may fail because of it.
	deadly bool
	// do has it happen, and undo, if it isn't nil, ends it. what is what it has
	// happened to, for people.
	do func(context.Context, *chaos, *lab.Host) (what string, undo func() error, err error)
}

// faults are all of them.
var faults = []fault{
	{"cut", false, func(ctx context.Context, _ *chaos, h *lab.Host) (string, func() error, error) {
		return "", func() error { return h.Heal(ctx) }, h.Cut(ctx)
	}},
	{"blackhole", false, func(ctx context.Context, _ *chaos, h *lab.Host) (string, func() error, error) {
		return "", func() error { return h.Blackhole(ctx, false) }, h.Blackhole(ctx, true)
	}},
	{"kill sessions", false, func(ctx context.Context, _ *chaos, h *lab.Host) (string, func() error, error) {
		return "", nil, h.KillSessions(ctx)
	}},
	{"stop sessions", false, func(_ context.Context, _ *chaos, h *lab.Host) (string, func() error, error) {
		return "", h.ContinueSessions, h.StopSessions()
	}},
	{"crash", false, func(ctx context.Context, _ *chaos, h *lab.Host) (string, func() error, error) {
		h.KillSSHD()
		return "", func() error { return h.StartSSHD(ctx) }, h.KillSessions(ctx)
	}},
	{"kill sshd", false, func(ctx context.Context, _ *chaos, h *lab.Host) (string, func() error, error) {
		h.KillSSHD()
		return "", func() error { return h.StartSSHD(ctx) }, nil
	}},
	{"kill a worker", true, func(_ context.Context, c *chaos, h *lab.Host) (string, func() error, error) {
		what, _, err := c.signal(h, syscall.SIGKILL, isWorker)
		return what, nil, err
	}},
	{"kill a helper", false, func(_ context.Context, c *chaos, h *lab.Host) (string, func() error, error) {
		what, _, err := c.signal(h, syscall.SIGKILL, isHelper)
		return what, nil, err
	}},
	{"stop a worker", false, func(_ context.Context, c *chaos, h *lab.Host) (string, func() error, error) {
		return c.signal(h, syscall.SIGSTOP, isWorker)
	}},
	{"stop a helper", false, func(_ context.Context, c *chaos, h *lab.Host) (string, func() error, error) {
		return c.signal(h, syscall.SIGSTOP, isHelper)
	}},
}

// isWorker reports whether a command line is that of a worker.
func isWorker(args []string) bool { return args[0] == "test-double" }

// isHelper reports whether a command line is that of what testr has on a host
// beside workers: a keeper, its watcher, a relay, the relay's guardian.
func isHelper(args []string) bool {
	return len(args) > 1 && (args[1] == "relay" || args[1] == "guardian") ||
		len(args) > 2 && strings.HasPrefix(args[2], `eval "$(head -c `)
}

// signal sends a signal to one of a host's processes, if there is one. undo has it
// go on.
func (c *chaos) signal(h *lab.Host, sig syscall.Signal, is func([]string) bool) (string, func() error, error) {
	number := c.rand.IntN(1 << 10)
	pids, err := h.Processes()
	pids = slices.DeleteFunc(pids, func(pid int) bool { return !is(argsOf(pid)) })
	if err != nil || len(pids) == 0 {
		return "none", nil, err
	}
	pid := pids[number%len(pids)]
	what := fmt.Sprintf("%d %.100q", pid, argsOf(pid))
	goOn := func() error { _ = syscall.Kill(pid, syscall.SIGCONT); return nil } // it may have ended
	_ = syscall.Kill(pid, sig)                                                  // likewise
	return what, goOn, nil
}

// argsOf is the command line of a process, and never empty.
func argsOf(pid int) []string {
	line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return strings.Split(string(line), "\x00")
}

// strike has something happen to one of the hosts.
func (c *chaos) strike() {
	i, n := c.rand.IntN(len(c.lab.Hosts)), c.rand.IntN(len(faults))
	lasts := time.Duration(200+c.rand.IntN(4000)) * time.Millisecond
	if _, busy := c.undo[i]; busy {
		return
	}
	f, h := faults[n], c.lab.Hosts[i]
	// What takes a test with it may happen once: one that has taken two workers
	// with it is not tried any more.
	if deadly := f.deadly || c.kinds[i] == "hooks"; deadly && c.deadly {
		return
	} else if deadly {
		c.deadly = true
	}
	what, back, err := f.do(context.WithoutCancel(c.t.Context()), c, h)
	check(c.t, err)
	c.happened = append(c.happened, fmt.Sprintf("%8v %s (%s): %s, for %v: %s", time.Since(c.begun).Round(time.Millisecond),
		h.Name, c.kinds[i], f.name, lasts, what))
	if back != nil {
		c.undo[i] = undo{time.Now().Add(lasts), back}
	}
}

// mend ends what has happened to hosts and is over by now.
func (c *chaos) mend(now time.Time) {
	for i, u := range c.undo {
		if now.After(u.at) {
			check(c.t, u.do())
			delete(c.undo, i)
		}
	}
}

// look takes down which directories there are on hosts.
func (c *chaos) look() {
	for i, h := range c.lab.Hosts {
		for _, dir := range keepers(c.t, h) {
			c.dirs[dir] = i
		}
	}
}

// maxLost is how many tests may be lost with their machines too often. It happens to few of
// them, and to none in most runs.
const maxLost = 3

// wantOutcomes wants every test to have passed, and to have said so once, and
// returns the exit status that this means. It is another one than 0 if a test was
// lost with too many machines, a worker was killed between two tests, or somebody
// has interrupted the run: then tests may not have run.
func (c *chaos) wantOutcomes() (status int) {
	o, passed := event.NewOutcomes(), map[string]int{}
	for _, e := range c.p.events(0) {
		check(c.t, o.Event(e))
		if e.Kind == event.KindPacket && e.Packet.Status == protocol.StatusSuccess {
			passed[e.Packet.TestID]++
		}
	}
	o.Finish()
	lost, known := 0, 0
	for _, test := range o.Tests() {
		switch {
		case test.ID == event.ReturnCode && c.deadly:
			status = 1
			continue
		case test.Status == protocol.StatusSuccess && passed[test.ID] == 1:
		case c.interrupted && passed[test.ID] == 0 && test.NotRun == event.ReasonInterrupted:
		case strings.HasPrefix(test.NotRun, "lost with its machine ") && passed[test.ID] == 0 && lost < maxLost:
			lost++
		default:
			c.t.Errorf("%s: got status %v, success %d times, %q; want it once", test.ID, test.Status, passed[test.ID],
				test.NotRun)
		}
		known++
	}
	if lost > 0 && status == 0 {
		status = 3
	}
	if o.Interrupted() {
		status = 130
	}
	if counts := o.Counts(); counts.Asked != chaosTests || known != chaosTests {
		c.t.Errorf("got %d tests, and the counts %+v; want %d", known, counts, chaosTests)
	}
	return status
}

// wantNothing wants that nothing is left, here and on the hosts. That no process
// is, is looked at in the end of the test.
func (c *chaos) wantNothing() {
	t := c.t
	if slots := c.p.slots(); len(slots) > 0 {
		t.Errorf("got the instances %q of hooks; want them given back", slots)
	}
	wantText(t, c.p.want(0, "instances", "list").out, "No instances are to be given back.\n")
	left, err := os.ReadDir(c.p.path(".temporary"))
	check(t, err)
	for _, e := range left {
		t.Errorf("got the temporary %s; want none left", e.Name())
	}
	for dir, host := range c.dirs {
		for _, path := range []string{dir, strings.TrimSuffix(dir, filepath.Ext(dir))} {
			if !within(func() bool { _, err := os.Lstat(path); return err != nil }) {
				t.Errorf("got %s on %s; want it removed", path, c.lab.Hosts[host].Name)
			}
		}
	}
}
