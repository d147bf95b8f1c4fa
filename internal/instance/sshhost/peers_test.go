//go:build peers

package sshhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/lab"
)

// sshd is a host with OpenSSH's server, in a network namespace of its own.
func sshd(t testing.TB, opts lab.HostOptions) (*lab.Lab, *lab.Host) {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "testr-sshhost-") // for tests that hide /tmp
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := lab.Start(t.Context(), dir, 1, lab.Options{Host: func(int) lab.HostOptions { return opts }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, l.Hosts[0]
}

// peer is a host at an sshd, closed with the test.
func peer(t testing.TB, l *lab.Lab, cfg Config) *Host {
	t.Helper()
	cfg.Name = "desktop"
	if cfg.Dial == nil {
		cfg.Dial = sshDial(l.Home, l.Hosts[0].Name, time.Second)
	}
	h := New(cfg)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestPeersContract(t *testing.T) {
	l, _ := sshd(t, lab.HostOptions{})
	instancetest.Run(t, func(s instancetest.Settings) instance.Provider {
		return peer(s.T, l, Config{Directory: s.Dir, Env: s.Env, Grace: s.Grace})
	}, instancetest.Traits{})
}

// The whole contract with other programs as /bin/sh, and other login shells.
func TestPeersShells(t *testing.T) {
	for _, shell := range []string{"dash", "bash --posix", "busybox sh"} {
		t.Run(shell, func(t *testing.T) {
			l, _ := sshd(t, lab.HostOptions{Shell: "/bin/" + strings.Fields(shell)[0]})
			if strings.HasPrefix(shell, "busybox") { // which has to be called sh
				l, _ = sshd(t, lab.HostOptions{Shell: link(t, "/bin/busybox")})
			}
			instancetest.Run(t, func(s instancetest.Settings) instance.Provider {
				dial := sshDial(l.Home, l.Hosts[0].Name, time.Second)
				return peer(s.T, l, Config{
					Directory: s.Dir, Env: s.Env, Grace: s.Grace,
					Dial: change(dial, func(request string) string {
						rest, ok := strings.CutPrefix(request, "exec /bin/sh ")
						if !ok {
							t.Errorf("got the request %q; want it to run /bin/sh", request)
						}
						return "exec /bin/" + shell + " " + rest
					}),
				})
			}, instancetest.Traits{})
		})
	}
}

// link is a shell that another program is when it is called sh.
func link(t *testing.T, program string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sh")
	if err := os.Symlink(program, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// F5: sshd's limit is learned, and costs connections only.
func TestPeersSessionLimit(t *testing.T) {
	for _, limit := range []int{1, 2, 10} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			l, _ := sshd(t, lab.HostOptions{MaxSessions: limit})
			h := peer(t, l, Config{})
			i := instancetest.One(t, h)
			for range 3 {
				var running []instance.Process
				for range 12 {
					running = append(running, instancetest.Start(t.Context(), t, i, instancetest.Program(t, "echo")))
				}
				for _, p := range running {
					instancetest.PID(t, p)
				}
				for n, p := range running {
					text := strconv.Itoa(n)
					if got, err := instancetest.Finish(p, []byte(text)); err != nil || got.Stdout != text {
						t.Errorf("got %+v, %v; want %q", got, err, text)
					}
				}
			}
			h.life.mu.Lock()
			defer h.life.mu.Unlock()
			if got, most := len(h.life.connections), 12/limit+3; got > most {
				t.Errorf("got %d connections; want %d at most", got, most)
			}
		})
	}
}

// F5, F6, F8: however a host is lost, it is said so in time, the next start
// connects again once it is there, and nothing goes on there meanwhile.
func TestPeersLoss(t *testing.T) {
	tests := []struct {
		name string
		lose func(*lab.Host, context.Context) error
		heal func(*lab.Host, context.Context) error
		most time.Duration
	}{
		{
			name: "sessions killed", lose: (*lab.Host).KillSessions, most: time.Second,
			heal: func(*lab.Host, context.Context) error { return nil },
		},
		{
			name: "sessions stopped", most: 10 * time.Second,
			lose: func(h *lab.Host, _ context.Context) error { return h.StopSessions() },
			heal: func(h *lab.Host, _ context.Context) error { return h.ContinueSessions() },
		},
		{
			name: "blackhole", most: 10 * time.Second,
			lose: func(h *lab.Host, ctx context.Context) error { return h.Blackhole(ctx, true) },
			heal: func(h *lab.Host, ctx context.Context) error { return h.Blackhole(ctx, false) },
		},
		{name: "link down", most: 10 * time.Second, lose: (*lab.Host).Cut, heal: (*lab.Host).Heal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, machine := sshd(t, lab.HostOptions{MaxSessions: 2})
			h := peer(t, l, Config{Silence: 2 * time.Second})
			i := instancetest.One(t, h)
			p, child := instancetest.StartLeaving(t, i, "setsid", "hold", 0)
			q := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "block"))
			instancetest.AwaitReady(t, q)
			run, pid := h.life.run, instancetest.PID(t, p)
			begin := time.Now()
			if err := tt.lose(machine, t.Context()); err != nil {
				t.Fatal(err)
			}
			lost := awaitLost(t, p)
			awaitLost(t, q)
			took := time.Since(begin)
			t.Logf("lost after %v: %v", took.Round(time.Millisecond), lost)
			if took > tt.most {
				t.Errorf("lost after %v; want %v at most", took, tt.most)
			}
			awaitGone(t, pid)
			if !child.Gone(patience) {
				t.Error("what the command had started lives on")
			}
			awaitNoFile(t, run)
			t.Logf("all was gone after %v", time.Since(begin).Round(time.Millisecond))
			if err := tt.heal(machine, t.Context()); err != nil {
				t.Fatal(err)
			}
			for limit := time.Now().Add(patience); h.Connect(t.Context()) != nil && time.Now().Before(limit); {
				runtime.Gosched() // a link takes a moment to be there again
			}
			again := instance.Command{Args: []string{"echo", "again"}}
			if got := instancetest.Output(t, i, again, nil); got.Stdout != "again\n" {
				t.Errorf("got %+v; want the host again", got)
			}
		})
	}
}

// F2: nothing on a host outlives a testr that was killed.
func TestPeersKilled(t *testing.T) {
	l, machine := sshd(t, lab.HostOptions{})
	local := instancetest.One(t, &instance.Local{})
	killAndLook(t, instancetest.Start(t.Context(), t, local, instancetest.Program(t, "testr", l.Home, machine.Name)))
}

// S19: when a host is closed, nothing is left there, of no kind.
func TestPeersNothingLeft(t *testing.T) {
	l, machine := sshd(t, lab.HostOptions{})
	before, err := machine.Processes()
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Name: "desktop", Dial: sshDial(l.Home, machine.Name, time.Second)})
	i := instancetest.One(t, h)
	p, _ := instancetest.StartLeaving(t, i, "setsid", "hold", 0)
	if _, err := instancetest.Finish(p, []byte("end\n")); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	var left []int
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for limit := time.After(patience); ; {
		if left, err = machine.Processes(); err != nil {
			t.Fatal(err)
		}
		if len(left) <= len(before) {
			return
		}
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("got processes %v; want %v as before", left, before)
		}
	}
}

// What a keeper leaves that was killed, with its watcher, is ended by the next
// connect, whoever's it is.
func TestPeersRepair(t *testing.T) {
	l, machine := sshd(t, lab.HostOptions{})
	h := peer(t, l, Config{})
	i := instancetest.One(t, h)
	p, child := instancetest.StartLeaving(t, i, "setsid", "hold", 0)
	run := h.life.run
	keeper := keeperOf(t, h)
	if err := unix.Kill(-keeper, unix.SIGKILL); err != nil { // its group is the watcher's
		t.Fatal(err)
	}
	awaitLost(t, p)
	other := peer(t, l, Config{Dial: sshDial(l.Home, machine.Name, time.Second)})
	if err := other.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !child.Gone(patience) {
		t.Error("what a keeper had left that was killed lives on")
	}
	awaitNoFile(t, run)
}

// The keeper needs a place for its directory, and says what is wrong with those
// that it has tried.
func TestPeersNoDirectory(t *testing.T) {
	tests := []struct {
		name, mount string
		want        []string
	}{
		{"read-only", "for d in /tmp \"$HOME\"; do mount -t tmpfs -o ro tmpfs $d; done", []string{"/tmp", "ead-only"}},
		{"full", "for d in /tmp \"$HOME\"; do mount -t tmpfs -o size=16k tmpfs $d; cat /dev/zero >$d/full 2>/dev/null; done",
			[]string{"/tmp", "No space left"}},
	}
	l, machine := sshd(t, lab.HostOptions{})
	dial := sshDial(l.Home, machine.Name, time.Second)
	mounted := func(mount string) func(context.Context) (Conn, error) {
		return change(dial, func(request string) string {
			return "exec unshare -m /bin/sh -c " + instance.Quote(mount+"; eval \"$1\"") + " sh " + instance.Quote(request)
		})
	}
	for _, tt := range tests {
		err := peer(t, l, Config{Dial: mounted(tt.mount)}).Connect(t.Context())
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v; want it to have %q", tt.name, err, want)
			}
		}
	}
	h := peer(t, l, Config{Dial: mounted("mount -t tmpfs -o ro tmpfs /tmp")})
	if err := h.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := machine.Home + "/.cache/testr"; filepath.Dir(h.life.run) != want {
		t.Errorf("got the directory %s; want it in %s", h.life.run, want)
	}
	i := &hostInstance{host: h, id: "i"}
	if got := instancetest.Output(t, i, instance.Command{Args: []string{"echo", "hello"}}, nil); got.Stdout != "hello\n" {
		t.Errorf("got %+v; want the command to run", got)
	}
}

// F11: a disk that is full there is an error that says so, and is left no fuller.
func TestPeersDiskFull(t *testing.T) {
	l, machine := sshd(t, lab.HostOptions{})
	cache := filepath.Join(machine.Home, ".cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", cache, "tmpfs", 0, "size=1500k"); err != nil {
		t.Fatal(err)
	}
	machine.KillSSHD() // the next one has the mount, too
	if err := machine.StartSSHD(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(cache, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	h := peer(t, l, Config{})
	i := instancetest.One(t, h)
	large := tempFile(t, "large", string(instancetest.Pattern(3<<20)))
	err := h.Bring(t.Context(), large)
	_, lost := errors.AsType[*instance.LostError](err)
	if !lost || !strings.Contains(err.Error(), "No space left") || !strings.Contains(err.Error(), filepath.Base(large)) {
		t.Errorf("got %v; want it to name the file, and the reason", err)
	}
	fits := tempFile(t, "fits", string(instancetest.Pattern(1<<20)))
	cmd := instance.Command{Args: []string{"wc", "-c", i.Path(fits)}, Files: []string{fits}}
	if got := instancetest.Output(t, i, cmd, nil); !strings.HasPrefix(got.Stdout, strconv.Itoa(1<<20)) {
		t.Errorf("got %+v; want a file that fits to be there", got)
	}
}

// S14 and others: what dialling finds is passed on as it is.
func TestPeersHostKey(t *testing.T) {
	l, machine := sshd(t, lab.HostOptions{})
	h := peer(t, l, Config{})
	i := instancetest.One(t, h)
	if err := machine.NewHostKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := machine.KillSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-h.life.lost
	p := instancetest.Start(t.Context(), t, i, instance.Command{Args: []string{"true"}})
	if lost := awaitLost(t, p); !strings.Contains(lost, "key") {
		t.Errorf("got %v; want it to name the host's key", lost)
	}
}

// The host says what it is, and how late it is.
func TestPeersInfo(t *testing.T) {
	l, machine := sshd(t, lab.HostOptions{Delay: 20 * time.Millisecond})
	h := peer(t, l, Config{})
	if err := h.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	info := h.Info()
	if info.OS != "Linux" || info.Machine == "" || info.Home != machine.Home || info.Processors < 1 {
		t.Errorf("got %+v; want Linux, with %s", info, machine.Home)
	}
	if info.RTT < 40*time.Millisecond || info.ClockError <= 0 || info.Clock.Abs() > info.ClockError+time.Millisecond {
		t.Errorf("got %+v; want 40 ms to and fro, and our own clock", info)
	}
}

// The time from a warm connection to the first byte that a command writes.
func BenchmarkPeersFirstByte(b *testing.B) {
	for _, delay := range []time.Duration{0, 25 * time.Millisecond} {
		b.Run(fmt.Sprint(delay), func(b *testing.B) {
			l, _ := sshd(b, lab.HostOptions{Delay: delay})
			i := instancetest.One(b, peer(b, l, Config{Env: []string{"A=1"}}))
			var all []time.Duration
			for b.Loop() {
				begin := time.Now()
				p, err := i.Start(b.Context(), instance.Command{Args: []string{"echo", "x"}})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.Stdout().Read(make([]byte, 1)); err != nil {
					b.Fatal(err)
				}
				all = append(all, time.Since(begin))
				if _, err := instancetest.FinishReading(p); err != nil {
					b.Fatal(err)
				}
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "median-ms")
		})
	}
}
