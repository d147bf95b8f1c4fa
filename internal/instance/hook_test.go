package instance_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
)

// journal is an instance.Journal in memory, which remembers what was done.
type journal struct {
	mu     sync.Mutex
	last   uint64
	leases map[uint64]instance.Lease
	log    []string      // "put ID", "remove ID", "fail ID"
	put    chan struct{} // gets something after each Put, if it has room
	refuse func(instance.Lease) error
}

func newJournal() *journal {
	return &journal{leases: make(map[uint64]instance.Lease), put: make(chan struct{}, 1000)}
}

func (j *journal) Put(lease instance.Lease) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refuse != nil {
		if err := j.refuse(lease); err != nil {
			return 0, err
		}
	}
	if lease.Key == 0 {
		j.last++
		lease.Key = j.last
	}
	what := "put "
	if lease.Failure != "" {
		what = "fail "
	}
	j.leases[lease.Key] = lease
	j.log = append(j.log, what+lease.ID)
	select {
	case j.put <- struct{}{}:
	default:
	}
	return lease.Key, nil
}

func (j *journal) Remove(key uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log = append(j.log, "remove "+j.leases[key].ID)
	delete(j.leases, key)
	return nil
}

func (j *journal) Leases() ([]instance.Lease, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var leases []instance.Lease
	for _, key := range slices.Sorted(maps.Keys(j.leases)) {
		leases = append(leases, j.leases[key])
	}
	return leases, nil
}

// ids are those of the leases that are there.
func (j *journal) ids() []string {
	leases, _ := j.Leases()
	ids := make([]string, len(leases))
	for n, lease := range leases {
		ids[n] = lease.ID
	}
	slices.Sort(ids)
	return ids
}

// lab is a Hook in a directory of its own, whose hooks write what they do to
// files there.
type lab struct {
	*instance.Hook
	t        *testing.T
	dir      string
	journal  *journal
	warnings []string
}

// disposeLogging is a dispose hook that writes its ids to a file, a line a call.
const disposeLogging = `echo $INSTANCE_IDS >>disposed`

// newLab makes a lab whose hooks are run as a test needs them. It has no
// instance left at the end of the test.
func newLab(t *testing.T, commands instance.HookCommands) *lab {
	t.Helper()
	local := &instance.Local{Guardian: guardianArgs(t)}
	t.Cleanup(func() { _, _ = local.Close() })
	l := &lab{t: t, dir: t.TempDir(), journal: newJournal()}
	l.Hook = &instance.Hook{
		Section: "lab", Commands: commands, Dir: l.dir, Local: local, Journal: l.journal,
		Warn: func(err error) { l.warnings = append(l.warnings, err.Error()) },
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// file is what a hook wrote to a file.
func (l *lab) file(name string) string {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.t.Fatal(err)
	}
	return string(b)
}

// provision wants instances with these ids.
func (l *lab) provision(count int, want ...string) []instance.Instance {
	l.t.Helper()
	instances, err := l.Provision(l.t.Context(), count)
	if err != nil {
		l.t.Fatal(err)
	}
	var got []string
	for _, i := range instances {
		got = append(got, i.ID())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Fatalf("ids (-want +got):\n%s", diff)
	}
	return instances
}

func (l *lab) close() {
	l.t.Helper()
	if err := l.Close(); err != nil {
		l.t.Errorf("Close: %v", err)
	}
}

// wantNoLeases wants everything to have been given back.
func (l *lab) wantNoLeases() {
	l.t.Helper()
	if leases, _ := l.journal.Leases(); len(leases) > 0 {
		l.t.Errorf("got %+v left in the journal; want nothing", leases)
	}
}

// wantText wants some texts in another.
func wantText(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("got %q; want %q in it", got, w)
		}
	}
}

// counting is a provision hook that gives ids that nobody had before.
const counting = `for i in $(seq $INSTANCE_COUNT); do
	n=$(cat n 2>/dev/null || echo 0); echo $((n+1)) >n; echo i-$n
done`

// A hook that runs its commands here keeps the contract, and so does one without
// an execute command.
func TestHook(t *testing.T) {
	for name, execute := range map[string]string{
		"command": "$COMMAND", "more": ": $INSTANCE_ID $FILES; exec $COMMAND", "none": "",
	} {
		t.Run(name, func(t *testing.T) {
			instancetest.Run(t, func(s instancetest.Settings) instance.Provider {
				local := &instance.Local{Guardian: guardianArgs(s.T), Grace: s.Grace}
				counter := filepath.Join(s.T.TempDir(), "n")
				h := &instance.Hook{
					Commands: instance.HookCommands{
						Provision: strings.NewReplacer("cat n", "cat "+counter, ">n", ">"+counter).Replace(counting),
						Execute:   execute,
						Dispose:   ": $INSTANCE_IDS",
					},
					Dir: s.Dir, Env: s.Env, Local: local, Journal: newJournal(),
					Warn: func(err error) { s.T.Errorf("got a warning: %v", err) },
				}
				s.T.Cleanup(func() {
					if err := h.Close(); err != nil {
						s.T.Errorf("Close: %v", err)
					}
					if _, err := local.Close(); err != nil {
						s.T.Errorf("close Local: %v", err)
					}
				})
				return h
			}, instancetest.Traits{Shell: execute == "$COMMAND"})
		})
	}
}

// A shell's line is put into the execute hook as it is, other commands quoted.
func TestHookExecute(t *testing.T) {
	shell := func(line string) []string { return []string{"/bin/sh", "-c", line} }
	tests := []struct {
		name, execute string
		cmd           instance.Command
		want          string
	}{
		{"a line", "echo on $INSTANCE_ID: $COMMAND", instance.Command{Args: shell("one  two; echo three")},
			"on a-1: one two\nthree\n"},
		{"words", "printf '%s\n' $INSTANCE_ID: $COMMAND", instance.Command{Args: []string{"a  b", "$c"}}, "a-1:\na  b\n$c\n"},
		{"files", "printf '%s\n' $FILES", instance.Command{Args: shell("x"), Files: []string{"/a", "/b c"}}, "/a\n/b c\n"},
		{"no files", "printf '<%s>\n' x $FILES y", instance.Command{Args: shell("x")}, "<x>\n<y>\n"},
		{"environment", "echo $TESTR_INSTANCE_ID $A $B; $COMMAND",
			instance.Command{Args: shell("pwd"), Env: []string{"B=cmd"}}, "a-1 hook cmd\n/\n"},
		{"no hook", "",
			instance.Command{Args: shell("echo $INSTANCE_ID $TESTR_INSTANCE_ID $A $B; pwd"), Env: []string{"B=cmd"}},
			"a-1 a-1 hook cmd\n/\n"},
	}
	for _, tt := range tests {
		l := newLab(t, instance.HookCommands{Provision: "echo a-1", Execute: tt.execute})
		l.Env = []string{"A=hook", "B=hook"}
		if tt.want != "" && strings.HasSuffix(tt.want, "/\n") {
			tt.cmd.Dir = "/"
		}
		i := l.provision(1, "a-1")[0]
		if got := instancetest.Output(t, i, tt.cmd, nil); got.Stdout != tt.want || !got.Status.Success() {
			t.Errorf("%s: got %+v; want %q", tt.name, got, tt.want)
		}
	}
}

// Ids and files that would become a part of the hook are refused.
func TestHookExecuteRefused(t *testing.T) {
	l := newLab(t, instance.HookCommands{Provision: "echo '$(touch${IFS}canary)'", Execute: `echo "$INSTANCE_ID"`})
	i := l.provision(1, "$(touch${IFS}canary)")[0]
	_, err := i.Start(t.Context(), instance.Command{Args: []string{"/bin/sh", "-c", "x"}})
	if err == nil {
		t.Fatal("got no error")
	}
	wantText(t, err.Error(), `start "/bin/sh" by [instance lab] instance_execute: put $INSTANCE_ID into`,
		"quotes within the quotes")
	l = newLab(t, instance.HookCommands{Provision: "echo a", Execute: "$FILES"})
	if _, err := l.provision(1, "a")[0].Start(t.Context(), instance.Command{Args: []string{"x"}}); err == nil {
		t.Error("an empty command was started")
	}
}

// Where it is quoted right, whatever a hook printed stays what it is.
func TestHookHostileIDs(t *testing.T) {
	ids := []string{"a;touch${IFS}canary", "`touch${IFS}canary`", "*", "it's", `"q"`, `b\`, "#", "ü", "$HOME", "&"}
	l := newLab(t, instance.HookCommands{
		Provision: "cat ids",
		Execute:   "printf '%s' $INSTANCE_ID",
		Dispose:   "printf '%s\n' $INSTANCE_IDS >disposed",
	})
	if err := os.WriteFile(filepath.Join(l.dir, "ids"), []byte(strings.Join(ids, "\n\t ")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, i := range l.provision(len(ids), ids...) {
		if got := instancetest.Output(t, i, instance.Command{Args: []string{"x"}}, nil); got.Stdout != ids[n] {
			t.Errorf("got %q; want %q", got.Stdout, ids[n])
		}
	}
	l.close()
	l.wantNoLeases()
	slices.Sort(ids)
	if diff := cmp.Diff(strings.Join(ids, "\n")+"\n", l.file("disposed")); diff != "" {
		t.Errorf("disposed of (-want +got):\n%s", diff)
	}
	if l.file("canary") != "" {
		t.Error("an id was run")
	}
	if entries, err := os.ReadDir(l.dir); err != nil || len(entries) != 2 {
		t.Errorf("got %v, %v; want ids and disposed alone", entries, err)
	}
}

// Commands end when their instance is closed; all instances are given back by
// one call when the hook is.
func TestHookClose(t *testing.T) {
	l := newLab(t, instance.HookCommands{Provision: counting, Execute: "exec $COMMAND", Dispose: disposeLogging})
	first := l.provision(2, "i-0", "i-1")
	second := l.provision(1, "i-2")
	var running []instance.Process
	for _, i := range slices.Concat(first, second) {
		p := instancetest.Start(t.Context(), t, i, instancetest.Program(t, "stubborn"))
		instancetest.AwaitReady(t, p)
		running = append(running, p)
	}
	for range 2 {
		if err := first[0].Close(); err != nil {
			t.Error(err)
		}
	}
	if got := l.file("disposed"); got != "" {
		t.Errorf("got %q disposed of by an instance; want nothing", got)
	}
	for range 2 {
		l.close()
	}
	for _, p := range running {
		if got, err := instancetest.FinishReading(p); err != nil || got.Status.Signal != "SIGKILL" {
			t.Errorf("got %v, %v; want it killed", got.Status, err)
		}
	}
	if got, want := l.file("disposed"), "i-0 i-1 i-2\n"; got != want {
		t.Errorf("got %q disposed of; want %q", got, want)
	}
	l.wantNoLeases()
	if _, err := second[0].Start(t.Context(), instancetest.Program(t, "block")); !errors.Is(err, instance.ErrClosed) {
		t.Errorf("Start: got %v; want %v", err, instance.ErrClosed)
	}
	if _, err := l.Provision(t.Context(), 1); !errors.Is(err, instance.ErrClosed) {
		t.Errorf("Provision: got %v; want %v", err, instance.ErrClosed)
	}
}

// Without a dispose command nothing is journaled, and no journal is needed.
func TestHookWithoutDispose(t *testing.T) {
	l := newLab(t, instance.HookCommands{Provision: counting})
	l.Journal = nil
	l.provision(2, "i-0", "i-1")
	l.close()
	if len(l.journal.log) > 0 {
		t.Errorf("got %q in the journal; want nothing", l.journal.log)
	}
}

// Several goroutines may get instances at once, and none gets another's.
func TestHookConcurrent(t *testing.T) {
	l := newLab(t, instance.HookCommands{
		Provision: "for i in $(seq $INSTANCE_COUNT); do echo $$-$i; done", Dispose: disposeLogging})
	var mu sync.Mutex
	seen := make(map[string]bool)
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			instances, err := l.Provision(t.Context(), 3)
			if err != nil || len(instances) != 3 {
				t.Errorf("got %d instances, %v; want 3", len(instances), err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, i := range instances {
				seen[i.ID()] = true
			}
		})
	}
	calls.Wait()
	l.close()
	l.wantNoLeases()
	if got := len(strings.Fields(l.file("disposed"))); got != 24 || len(seen) != 24 {
		t.Errorf("got %d ids, %d disposed of; want 24", len(seen), got)
	}
}

// Closing ends the provision hook that is at work, and gives back what it has.
func TestHookCloseWhileProvisioning(t *testing.T) {
	l := newLab(t, instance.HookCommands{
		Provision: "echo i-1; trap '' TERM; while :; do sleep 0.1; done", Dispose: disposeLogging})
	failed := make(chan error)
	go func() {
		_, err := l.Provision(context.Background(), 1)
		failed <- err
	}()
	for range 2 { // the hook at work, and its id
		<-l.journal.put
	}
	begun := time.Now()
	l.close()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if err := <-failed; !errors.Is(err, instance.ErrClosed) {
		t.Errorf("got %v; want %v", err, instance.ErrClosed)
	}
	l.wantNoLeases()
	if got := l.file("disposed"); got != "i-1\n" {
		t.Errorf("got %q disposed of; want i-1", got)
	}
}

// What a hook's leases say is what another testr needs.
func TestHookLease(t *testing.T) {
	l := newLab(t, instance.HookCommands{Provision: "echo i-1; cat", Dispose: "rm -rf $INSTANCE_IDS"})
	before := time.Now()
	l.provision(1, "i-1")
	leases, _ := l.journal.Leases()
	want := []instance.Lease{{
		Key: 2, Section: "lab", ID: "i-1", Dispose: "rm -rf $INSTANCE_IDS", Dir: l.dir, PID: os.Getpid()}}
	for n := range leases {
		if since := leases[n].Since; since.Before(before) || since.After(time.Now()) {
			t.Errorf("got since %v; want now", since)
		}
		leases[n].Since = time.Time{}
	}
	if diff := cmp.Diff(want, leases); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
	if got, want := fmt.Sprint(l.journal.log), "[put  put i-1 remove ]"; got != want {
		t.Errorf("got %s; want %s: a hook at work, its id, the hook's end", got, want)
	}
}
