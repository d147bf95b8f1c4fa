package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"testr/internal/protocol"
	"testr/internal/repo"
)

// crashes is how often TestCrash kills a supervisor, and the seed of the first
// of its subtests: TESTR_KILLS and TESTR_SEED, or what is enough for every day.
func crashes(t *testing.T) (kills int, seed uint64) {
	t.Helper()
	kills, seed = 14, 1
	var err error
	if s := os.Getenv("TESTR_KILLS"); s != "" {
		kills, err = strconv.Atoi(s)
	}
	if s := os.Getenv("TESTR_SEED"); s != "" && err == nil {
		seed, err = strconv.ParseUint(s, 10, 64)
	}
	if err != nil {
		t.Fatalf("TESTR_KILLS, TESTR_SEED: %v", err)
	}
	return kills, seed
}

// TestCrash is F1, F2 and the first two promises of the repository: supervisors
// are killed at moments that a seed chooses, in init, run, run --resume, load, as
// daemons that make somebody's run, and while they close a run. Afterwards the repository opens as it is, and
// has everything that was printed; nobody is left; and what goes on from there
// runs what has no outcome, and nothing else.
//
// A subtest has its seed for a name: TESTR_SEED=17 TESTR_KILLS=1 runs that one.
func TestCrash(t *testing.T) {
	kills, seed := crashes(t)
	t.Logf("%d kills, from TESTR_SEED=%d on", kills, seed)
	whole := measureCrash(t)
	total := crashTally{}
	for total.Kills < kills && !t.Failed() {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			c := &crashing{rnd: rand.New(rand.NewPCG(seed, 1)), whole: whole, tally: &total,
				settled: map[string]protocol.Status{}}
			c.project = newProject(t, map[string]string{".testr.conf": streaming,
				"tests": strings.Join(crashTests(), "\n") + "\n"})
			c.chain()
		})
		seed++
	}
	t.Logf("%+v", total)
}

// crashTally is what became of all kills, so that one sees that they hit.
type crashTally struct {
	Kills   int
	Daemons int           // of Kills: those of a daemon
	Early   int           // before there was a run
	Within  int           // while there were tests without an outcome
	Closing int           // when all had one
	Late    int           // after its end
	Slowest time.Duration // of opening a repository
}

// crashTests are many enough for a run to take some time, and of all kinds.
func crashTests() []string {
	var tests []string
	for i := range 250 {
		what := []string{"", "fail", "prints", "skip", "fail", "parent"}[i%6]
		switch {
		case i%40 == 9:
			what = "bulky"
		case i%5 == 2:
			what = "takes_6"
		}
		tests = append(tests, fmt.Sprintf("m.C%02d.test_%03d_%s", i/20, i, what))
	}
	return tests
}

// crashWhole is how long commands take that nobody kills, and what they print.
type crashWhole struct {
	init, run time.Duration
	text      int    // the length of the run's text
	stream    string // the run
}

func measureCrash(t *testing.T) crashWhole {
	t.Helper()
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": strings.Join(crashTests(), "\n") + "\n"})
	var w crashWhole
	begun := time.Now()
	p.want(0, "init")
	w.init = time.Since(begun)
	begun = time.Now()
	w.text = len(p.want(1, "run", "--parallel", "--concurrency", "3").out)
	w.run = time.Since(begun)
	w.stream = p.want(0, "last", "--subunit").out
	return w
}

// crashing is a project whose supervisors are killed one after the other.
type crashing struct {
	*project
	rnd   *rand.Rand
	whole crashWhole
	tally *crashTally

	settled map[string]protocol.Status // what the runs so far have an outcome of
	runs    int                        // how many there are
}

// chain kills a few supervisors, each of which goes on with what the one before
// left, and lets the last one come to its end.
func (c *crashing) chain() {
	if c.rnd.IntN(3) == 0 {
		c.killInit()
	}
	if !c.exists(repositoryFile) {
		c.want(0, "init")
	}
	if c.rnd.IntN(4) == 0 {
		c.killLoad()
	}
	first := c.runs
	for range 1 + c.rnd.IntN(4) {
		c.killRun(c.next(first))
		if c.t.Failed() {
			return
		}
		if len(c.settled) == len(crashTests()) {
			break
		}
	}
	res := c.testr(c.next(first)...)
	wantNoPanic(c.t, "the last run", res.err)
	if info := c.latest(); info.ID == c.runs {
		c.wantAsked(info)
		c.take(info)
	}
	if without := len(crashTests()) - len(c.settled); without > 0 {
		c.t.Fatalf("%d tests have no outcome in any run; the last one ended with status %d\n%s", without,
			res.status, res.err)
	}
	c.wantNobodyHere()
	c.check()
	for _, dir := range []string{repo.DirName, ".temporary"} {
		for _, e := range c.entries(dir) {
			if e != repo.FileName {
				c.t.Errorf("%s was left in %s", e, dir)
			}
		}
	}
}

func (c *crashing) entries(dir string) (names []string) {
	c.t.Helper()
	entries, err := os.ReadDir(c.path(dir))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// next is the command that goes on from here; runs from the first on are those
// of the tests.
func (c *crashing) next(first int) []string {
	args := []string{"run", "--parallel", "--concurrency", "3"}
	if c.runs > first {
		args = append(args, "--resume")
	}
	return args
}

// moment is when a supervisor is killed: after it has printed so many bytes, and
// some time later.
type moment struct {
	printed int
	later   time.Duration
}

// moment chooses one for a command that takes some time and prints so many bytes.
func (c *crashing) moment(takes time.Duration, prints int) moment {
	some := func(d time.Duration) time.Duration { return time.Duration(c.rnd.Float64() * float64(d)) }
	switch c.rnd.IntN(5) {
	case 0:
		return moment{later: some(takes + takes/4)}
	case 1:
		return moment{prints * 19 / 20, some(takes / 8)} // as it comes to its end
	}
	return moment{1 + c.rnd.IntN(prints+1), some(takes / 40)}
}

// kill starts a command and kills it, if it hasn't ended by then, or the daemon that
// does its work.
func (c *crashing) kill(cmd *exec.Cmd, daemon *background, when moment) result {
	c.t.Helper()
	out := &tripwire{tap: newTap(), left: when.printed, tripped: make(chan struct{})}
	errOut := newTap()
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.WaitDelay = patience
	out.trip()
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		select {
		case <-out.tripped:
			select {
			case <-time.After(when.later):
			case <-over:
			}
		case <-over:
		}
		if daemon != nil {
			_ = daemon.Process.Kill()
		} else {
			_ = cmd.Process.Kill() // which knows whether it has been waited for
		}
	}()
	err := cmd.Wait()
	close(over)
	if daemon != nil {
		wantNoPanic(c.t, "the daemon", daemon.wait().err)
		c.tally.Daemons++
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		c.t.Fatalf("%v: %v", cmd.Args, err)
	}
	c.tally.Kills++
	wantNoPanic(c.t, strings.Join(cmd.Args, " "), errOut.String())
	return result{out.String(), errOut.String(), statusOf(cmd.ProcessState)}
}

// tripwire is a tap that tells when so many bytes have come.
type tripwire struct {
	*tap
	left    int // only Write has it, but for the beginning
	tripped chan struct{}
	once    sync.Once
}

func (w *tripwire) Write(p []byte) (int, error) {
	n, err := w.tap.Write(p)
	w.left -= n
	w.trip()
	return n, err
}

func (w *tripwire) trip() {
	if w.left <= 0 {
		w.once.Do(func() { close(w.tripped) })
	}
}

// killInit kills testr while it makes a repository: there is one, or there is
// none.
func (c *crashing) killInit() {
	c.kill(c.command("testr", "init"), nil, moment{later: time.Duration(c.rnd.Float64() * 1.2 * float64(c.whole.init))})
	if c.exists(repositoryFile) {
		c.check()
		return
	}
	var missing *repo.NotFoundError
	if _, err := repo.OpenReadOnly(c.dir); !errors.As(err, &missing) {
		c.t.Errorf("after init was killed: got %v; want a *repo.NotFoundError", err)
	}
}

// killLoad kills testr while it loads a stream.
func (c *crashing) killLoad() {
	cmd := c.command("testr", "load")
	cmd.Stdin = strings.NewReader(c.whole.stream)
	res := c.kill(cmd, nil, c.moment(c.whole.run/4, c.whole.text))
	info := c.latest()
	if info.ID == c.runs {
		c.wantStored(info, res, false, res.status == 128+9)
		c.runs++
	} else if res.out != "" {
		c.t.Errorf("something was printed, and there is no run:\n%s", res.out)
	}
}

// killRun kills testr in a run.
func (c *crashing) killRun(args []string) {
	part := 1 - float64(len(c.settled))/float64(len(crashTests()))
	prints := c.whole.text
	subunit := c.rnd.IntN(2) == 0
	if subunit {
		args, prints = append(args, "--subunit"), len(c.whole.stream)
	}
	killed := 128 + 9
	var daemon *background
	if c.rnd.IntN(4) == 0 {
		daemon = c.daemon()
		killed = statusError
	}
	res := c.kill(c.command("testr", args...), daemon, c.moment(c.whole.run, int(part*float64(prints))))
	c.wantNobodyHere()
	info := c.latest()
	if info.ID < c.runs {
		c.tally.Early++
		if res.out != "" && !strings.HasSuffix(res.out, " left nothing to run.\n") {
			c.t.Errorf("something was printed, and there is no run:\n%q", res.out)
		}
		return
	}
	c.wantStored(info, res, subunit, res.status == killed)
	if info.Counts.Asked > 0 {
		c.wantAsked(info)
	}
	c.take(info)
}
