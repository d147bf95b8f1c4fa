package main

import (
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// daemon starts one in the project.
func (p *project) daemon(args ...string) *background {
	p.t.Helper()
	b := p.start(append([]string{"daemon"}, args...)...)
	await(p.t, "the daemon", func() bool { return strings.Contains(b.err.String(), "takes runs in") })
	return b
}

// stopped waits for the end of a daemon that was told to.
func (p *project) stopped(d *background) {
	p.t.Helper()
	if res := d.wait(); res.status != 0 || res.out != "" {
		p.t.Errorf("got exit status %d of the daemon, and\n%s%s\nwant 0", res.status, res.out, res.err)
	}
}

// newDaemonProject is a project with those tests, and a repository.
func newDaemonProject(t *testing.T, conf string, tests ...string) *project {
	t.Helper()
	p := newProject(t, map[string]string{".testr.conf": conf, "tests": strings.Join(tests, "\n") + "\n"})
	p.want(0, "init")
	return p
}

// varying is what differs from run to run.
var varying = regexp.MustCompile(`[-+]?\d+\.\d{3}s|seed \d+|--seed \d+|/tmp/\S+`)

// TestDaemonSame: a run shows the same, whether a daemon makes it or not.
func TestDaemonSame(t *testing.T) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		sameWithDaemon(t, "[DEFAULT]\ntest_command=test-double\n", []string{"m.C.test_fail", "m.C.test_forks"},
			"run --parallel", "run --failing", "run --retries 2", "run --timeout soon", "run --list nothing")
	})
	tests := []string{"m.C.test_fail", "m.C.test_pass", "m.C.test_skip", "m.C.test_prints", "m.C.test_exits"}
	lines := []string{"run", "run", "run --parallel --concurrency 1", "run --failing", "run -q",
		"run --random m.C.test_fail",
		"run nothing_like_that", "run --retries 1 m.C.test_fail", "run --until-failure test_pass test_fail",
		"run --plan plan", "run --load-list list", "run --resume", "load stream", "load stream empty", "load nowhere",
		"run --detach --subunit", "run --isolated -- --exit 3", "run --partition 1/2", "run --timeout 100 test_pass",
		"last", "failing --list"}
	t.Run("streaming", func(t *testing.T) {
		t.Parallel()
		sameWithDaemon(t, streaming, tests, lines...)
	})
}

// sameWithDaemon wants these command lines to show the same without and with a
// daemon.
func sameWithDaemon(t *testing.T, conf string, tests []string, lines ...string) {
	t.Helper()
	shown := func(with bool) (all []string) {
		p := newDaemonProject(t, conf, tests...)
		p.write("plan", `{"version": 1, "segments": [{"match": "fail"}, {"rest": true}]}`)
		p.write("list", "m.C.test_pass\n")
		p.write("stream", passing(t))
		p.write("empty", "")
		if with {
			d := p.daemon()
			defer func() {
				p.want(0, "daemon", "stop")
				p.stopped(d)
			}()
		}
		for _, line := range lines {
			res := p.testr(strings.Fields(line)...)
			text := line + ": exit status " + strconv.Itoa(res.status) + "\n" + res.out + "on stderr:\n" + res.err
			all = append(all, varying.ReplaceAllString(text, "…"))
		}
		return all
	}
	if diff := cmp.Diff(shown(false), shown(true)); diff != "" {
		t.Errorf("what is shown without and with a daemon (-without +with):\n%s", diff)
	}
}

// TestDaemonStream: a stream of a run that a daemon makes is that of the run.
func TestDaemonStream(t *testing.T) {
	t.Parallel()
	p := newDaemonProject(t, streaming, "m.C.test_fail", "m.C.test_pass")
	d := p.daemon()
	res := p.want(1, "run", "--subunit", "--parallel")
	if again := p.want(0, "last", "--subunit"); again.out != res.out || res.out == "" {
		t.Errorf("got %d octets of the run; want the %d that are stored", len(res.out), len(again.out))
	}
	p.want(0, "daemon", "stop")
	p.stopped(d)
}

// TestDaemonQueue: two runs that are asked for at once queue; an interruption of
// the one is none of the other; each has its own environment.
func TestDaemonQueue(t *testing.T) {
	t.Parallel()
	p := newDaemonProject(t, streaming, "m.C.test_waits", "m.C.test_pass", "m.C.test_secret")
	d := p.daemon()
	first := p.start("run", "test_waits")
	p.awaitFile("begun")
	cmd := p.command("testr", "run", "test_secret")
	cmd.Env = append(cmd.Env, "CANARY_TOKEN=of the second client")
	second := p.startCommand(cmd)
	await(t, "the second one to wait", func() bool { return strings.Contains(second.err.String(), "waits for 1 run") })
	third := p.start("run", "test_pass")
	await(t, "the third one to wait", func() bool { return strings.Contains(third.err.String(), "waits for 2 runs") })

	wantText(t, p.want(0, "daemon", "status").out, "running: job 1, run 0, since ", "testr run test_waits\n",
		"waiting: job 2, since ", "waiting: job 3, since ")
	var state struct{ Jobs []struct{ State string } }
	document := p.want(0, "daemon", "status", "--json").out
	if err := json.Unmarshal([]byte(document), &state); err != nil || len(state.Jobs) != 3 {
		t.Errorf("got %+v, %v as JSON; want three jobs", state, err)
	}

	third.signal(syscall.SIGTERM)
	if res := third.wait(); res.status != 143 || res.out != "" {
		t.Errorf("got exit status %d and %q of one that was interrupted while it waited; want 143", res.status, res.out)
	}
	first.signal(os.Interrupt)
	await(t, "the run to be interrupted", func() bool { return strings.Contains(first.out.String(), "Interrupted: ") })
	p.write("go", "")
	res := first.wait()
	if res.status != 130 {
		t.Errorf("got exit status %d; want 130\n%s%s", res.status, res.out, res.err)
	}
	wantText(t, res.err, "interrupted by SIGINT")
	res = second.wait()
	if res.status != 1 {
		t.Errorf("got exit status %d of the second; want 1\n%s%s", res.status, res.out, res.err)
	}
	wantText(t, res.out, "the secret is of the second client")
	p.want(0, "daemon", "stop")
	p.stopped(d)
	p.wantNobodyLeft(2)
}

// TestDaemonClients: a client that was killed ends its run, one that reads slowly
// doesn't hold it up, and one that doesn't wait needn't.
func TestDaemonClients(t *testing.T) {
	t.Parallel()
	p := newDaemonProject(t, batches, "m.C.test_waits", "m.C.test_floods", "m.C.test_pass")
	d := p.daemon()
	killed := p.start("run", "test_waits")
	p.awaitFile("begun")
	killed.signal(os.Kill)
	killed.wait()
	await(t, "the end of the run whose client was killed", func() bool {
		return strings.Contains(p.want(0, "daemon", "status").out, "whoever asked for the run is gone")
	})

	slow := p.command("testr", "run", "--subunit", "test_floods")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	slow.Stdout = w
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Process.Kill(); _ = slow.Wait() }()
	_ = w.Close()
	one := make([]byte, 1)
	if _, err := io.ReadFull(r, one); err != nil {
		t.Fatal(err)
	}
	// It reads nothing for now, and others run.
	res := p.want(0, "run", "test_pass")
	wantText(t, res.out, "PASSED")
	rest, err := io.ReadAll(r)
	if err != nil || len(rest) < 1<<20 {
		t.Errorf("got %d octets of the slow client, %v; want all that there is", len(rest), err)
	}

	p.remove("begun")
	if res := p.want(0, "run", "--detach", "test_waits"); res.out != "run 3\n" {
		t.Errorf("got %q; want the run's number", res.out)
	}
	p.awaitFile("begun")
	if res := p.want(0, "run", "--detach", "test_pass"); !strings.HasSuffix(res.out, " waits for 1 run\n") {
		t.Errorf("got %q; want to be told of the queue", res.out)
	}
	p.write("go", "")
	await(t, "the end of the run that nobody waits for", func() bool {
		return strings.Contains(p.want(0, "daemon", "status").out, "run 4, passed")
	})
	wantText(t, p.want(0, "last").out, "id=4")
	p.want(0, "daemon", "stop")
	p.stopped(d)
}

// TestDaemonKilled: after that, the file is anybody's, the run is an interrupted
// one, and its client knows.
func TestDaemonKilled(t *testing.T) {
	t.Parallel()
	p := newDaemonProject(t, streaming, "m.C.test_pass", "m.C.test_waits")
	d := p.daemon()
	client := p.start("run")
	p.awaitFile("begun")
	await(t, "the run in the file", func() bool { return strings.Contains(p.testr("daemon", "status").out, "run 0") })
	waits := p.start("run")
	await(t, "one that waits", func() bool { return strings.Contains(waits.err.String(), "waits for 1 run") })
	d.signal(os.Kill)
	d.wait()
	if res := waits.wait(); res.status != 3 || !strings.Contains(res.err, "has ended before the run began") ||
		strings.Contains(res.err, "testr last") {
		t.Errorf("got exit status %d of one that waited, and\n%s\nwant to be told that it had not begun", res.status, res.err)
	}
	res := client.wait()
	if res.status != 3 {
		t.Errorf("got exit status %d of the client; want 3\n%s%s", res.status, res.out, res.err)
	}
	wantText(t, res.err, "has ended before the run did", "hint: testr last shows")
	p.wantNobodyLeft(1)
	if res := p.testr("last"); res.status == 0 || !strings.Contains(res.out, "Interrupted: ") {
		t.Errorf("got exit status %d and\n%s%s\nwant the run as an interrupted one", res.status, res.out, res.err)
	}
	p.write("go", "")
	p.want(0, "run")
	again := p.daemon()
	p.want(0, "run")
	again.signal(syscall.SIGTERM)
	p.stopped(again)
}

// TestDaemonStop: what goes on is interrupted, what waits is told, and there is one
// daemon at a time.
func TestDaemonStop(t *testing.T) {
	t.Parallel()
	p := newDaemonProject(t, batches+"instance_provision=echo get >>hooks; echo i-1\n"+
		"instance_execute=: $INSTANCE_ID; $COMMAND\ninstance_dispose=echo put $INSTANCE_IDS >>hooks\n",
		"m.C.test_pass", "m.C.test_sleeps")
	wantText(t, p.want(3, "daemon", "status").err, "there is no daemon here")
	wantText(t, p.want(3, "run", "--detach").err, "hint: start one: testr daemon")
	d := p.daemon()
	pid := "process " + strconv.Itoa(d.Process.Pid)
	wantText(t, p.want(3, "daemon").err, "a daemon has the repository already: "+pid, "testr daemon stop")
	p.want(0, "run", "test_pass")
	p.want(0, "run", "test_pass")
	wantText(t, p.want(3, "instances", "dispose").err, pid, `hint: the daemon has it`)
	wantText(t, p.want(0, "daemon", "status").out, "daemon: "+pid, "instance: i-1 of [DEFAULT]", "are given back at")
	runs := p.start("run", "test_sleeps")
	await(t, "a run that goes on", func() bool {
		return strings.Contains(p.want(0, "daemon", "status").out, "running: job 3, run 2")
	})
	waits := p.start("run", "test_pass")
	await(t, "one that waits", func() bool { return strings.Contains(waits.err.String(), "waits for 1 run") })
	p.want(0, "daemon", "stop")
	p.stopped(d)
	for b, want := range map[*background]string{runs: "testr: error: the daemon was stopped\n",
		waits: "testr: error: the daemon was stopped before the run began\n"} {
		res := b.wait()
		if res.status != 3 {
			t.Errorf("testr %q: got exit status %d; want 3", b.Args, res.status)
		}
		wantText(t, res.err, want)
		if b == runs { // with nobody left to ask but the file
			wantText(t, res.out, "(id=2")
		}
	}
	if got := p.read("hooks"); got != "get\nput i-1\n" {
		t.Errorf("got %q of the hooks; want one instance for all runs", got)
	}
	p.wantNobodyLeft(1)
}

// TestDaemonLost: a daemon that nobody finds any more ends.
func TestDaemonLost(t *testing.T) {
	t.Parallel()
	p := newDaemonProject(t, streaming, "m.C.test_pass")
	d := p.daemon()
	if err := os.RemoveAll(p.path(".testr")); err != nil {
		t.Fatal(err)
	}
	if res := d.wait(); res.status != 3 || !strings.Contains(res.err, "is gone, or another one is there") {
		t.Errorf("got exit status %d of the daemon, and\n%s\nwant 3, for its socket", res.status, res.err)
	}
}

// TestDaemonSignals: each of these ends a daemon well.
func TestDaemonSignals(t *testing.T) {
	t.Parallel()
	p := newDaemonProject(t, streaming, "m.C.test_pass")
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		d := p.daemon("--idle", "1h")
		p.want(0, "run")
		begun := time.Now()
		d.signal(sig)
		p.stopped(d)
		if took := time.Since(begun); took > patience/2 {
			t.Errorf("%v: got the end after %v; want it at once", sig, took)
		}
	}
}

// TestDaemonHurry: a second signal has the daemon's run end at once.
func TestDaemonHurry(t *testing.T) {
	t.Parallel()
	p := newDaemonProject(t, streaming, "m.C.test_waits")
	d := p.daemon()
	client := p.start("run")
	p.awaitFile("begun")
	begun := time.Now()
	d.signal(syscall.SIGTERM)
	await(t, "the first signal to be heard", func() bool { return strings.Contains(d.err.String(), "the daemon ends: ") })
	d.signal(syscall.SIGTERM)
	p.stopped(d)
	if took := time.Since(begun); took > 9*time.Second {
		t.Errorf("got the end after %v; want it before the time of grace is over", took)
	}
	if res := client.wait(); res.status != 3 {
		t.Errorf("got exit status %d of the client; want 3\n%s%s", res.status, res.out, res.err)
	}
	p.wantNobodyLeft(1)
}
