package instance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
)

// A dispose hook that fails is tried once more; then what is left is told, and
// stays in the journal.
func TestHookDisposeFails(t *testing.T) {
	l := newLab(t, instance.HookCommands{
		Provision: counting, Dispose: disposeLogging + "; echo the API is down >&2; test -e up"})
	l.provision(2, "i-0", "i-1")
	err := l.Close()
	var failed *instance.DisposeError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v; want a DisposeError", err)
	}
	wantText(t, err.Error(), "dispose of i-0, i-1: [instance lab] instance_dispose: exit status 1\nthe API is down")
	if diff := cmp.Diff([]string{"i-0", "i-1"}, failed.IDs()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(failed.Command, "echo i-0 i-1 >>") {
		t.Errorf("got the command %q; want the ids in it", failed.Command)
	}
	if got, want := l.file("disposed"), "i-0 i-1\ni-0 i-1\n"; got != want {
		t.Errorf("got %q disposed of; want %q", got, want)
	}
	leases, _ := l.journal.Leases()
	if len(leases) != 2 {
		t.Fatalf("got leases %+v; want both", leases)
	}
	for _, lease := range leases {
		wantText(t, lease.Failure, "the API is down")
	}
	// And later it works.
	if err := os.WriteFile(l.dir+"/up", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l.close()
	l.wantNoLeases()
}

// S17: a secret that a hook lets slip is neither shown nor stored.
func TestHookSecrets(t *testing.T) {
	const canary, longer = "canary-7f3a9c1e5b", "canary-7f3a9c1e5b-and-more"
	t.Setenv("CANARY_TOKEN", canary)
	slip := "echo $CANARY_TOKEN, $Db_Password, $PLAIN $SHORT_TOKEN >&2; exit 1"
	l := newLab(t, instance.HookCommands{
		Provision: "echo >>tries; echo i-1; test $(wc -l <tries) -gt 2 || { echo $CANARY_TOKEN; " + slip + "; }",
		Dispose:   ": $INSTANCE_IDS; test $(wc -l <tries) -lt 3 || { " + slip + "; }",
	})
	l.Env = []string{"Db_Password=" + longer, "PLAIN=plain text", "SHORT_TOKEN=on"}
	l.provision(1, "i-1")
	err := l.Close()
	if err == nil {
		t.Fatal("got no error")
	}
	leases, _ := l.journal.Leases()
	for _, text := range append(l.warnings, err.Error(), fmt.Sprint(leases)) {
		if strings.Contains(text, canary) {
			t.Errorf("got %q; want it without the secret", text)
		}
	}
	wantText(t, err.Error(), "[CANARY_TOKEN], [Db_Password], plain text on")
	l = newLab(t, instance.HookCommands{
		Provision: "for i in $(seq 1000); do printf '%s ' x$CANARY_TOKEN; done >&2; echo last words >&2; exit 1"})
	if _, err := l.Provision(t.Context(), 1); err == nil || strings.Contains(err.Error(), "7f3a9c1e5b") {
		t.Errorf("got %v; want it without the secret", err)
	}
}

// Once is no failure.
func TestHookDisposeFlaps(t *testing.T) {
	l := newLab(t, instance.HookCommands{Provision: counting, Dispose: "test -e tried || { echo >tried; exit 1; }"})
	l.provision(1, "i-0")
	l.close()
	l.wantNoLeases()
}

// F9: a dispose hook that hangs is ended in time, and the instances stay in the
// journal.
func TestHookDisposeTimeout(t *testing.T) {
	for _, hook := range []string{
		"sleep 100", "trap '' TERM; while :; do sleep 1; done", "yes >&2", "trap 'exit 0' TERM; while :; do sleep 0.01; done",
	} {
		l := newLab(t, instance.HookCommands{Provision: counting, Dispose: disposeLogging + "; " + hook})
		l.DisposeTimeout = 50 * time.Millisecond
		l.provision(1, "i-0")
		begun := time.Now()
		err := l.Close()
		if _, ok := errors.AsType[*instance.DisposeError](err); !ok {
			t.Fatalf("%s: got %v; want a DisposeError", hook, err)
		}
		wantText(t, err.Error(), "it was ended after 50ms, which dispose_timeout allows")
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: took %v", hook, took)
		}
		if got := l.file("disposed"); got != "i-0\n" {
			t.Errorf("%s: got %q disposed of; want one try", hook, got)
		}
		if got := l.journal.ids(); len(got) != 1 {
			t.Errorf("%s: got leases %q; want i-0", hook, got)
		}
	}
}

// What a failed provision hook had got and could not be given back is told,
// tried again at the end, and doesn't keep others from it.
func TestHookDisposeLeaked(t *testing.T) {
	l := newLab(t, instance.HookCommands{
		Provision: "echo >>tries; n=$(wc -l <tries); echo i-$n; test $n -gt 1",
		Dispose:   disposeLogging + "; for id in $INSTANCE_IDS; do test $id != i-1 || exit 1; done",
	})
	l.provision(1, "i-2")
	if len(l.warnings) != 1 {
		t.Fatalf("got warnings %q; want one", l.warnings)
	}
	wantText(t, l.warnings[0], "dispose of i-1: ")
	err := l.Close()
	var failed *instance.DisposeError
	if !errors.As(err, &failed) || !slices.Equal(failed.IDs(), []string{"i-1"}) {
		t.Errorf("got %v; want a DisposeError for i-1", err)
	}
	if got := l.journal.ids(); !slices.Equal(got, []string{"i-1"}) {
		t.Errorf("got leases %q; want i-1", got)
	}
	if got, want := l.file("disposed"), "i-1\ni-1\ni-2\ni-1\ni-1\n"; got != want {
		t.Errorf("got %q disposed of; want %q", got, want)
	}
}

// An id that could not be given back, and was got once more, is one instance.
func TestHookDisposeLeakedAgain(t *testing.T) {
	l := newLab(t, instance.HookCommands{
		Provision: "echo >>tries; echo host; test $(wc -l <tries) -gt 1", Dispose: "test $(wc -l <tries) -gt 1"})
	l.provision(1, "host")
	leases, _ := l.journal.Leases()
	if len(leases) != 1 || leases[0].ID != "host" || leases[0].Failure != "" {
		t.Errorf("got leases %+v; want that of host, without a failure", leases)
	}
	l.close()
	l.wantNoLeases()
}

// The journal's own failures are told, and don't hide that an instance is left.
func TestHookDisposeJournalFails(t *testing.T) {
	full := errors.New("disk full")
	l := newLab(t, instance.HookCommands{Provision: counting, Dispose: "exit 1"})
	l.provision(1, "i-0")
	l.journal.mu.Lock()
	l.journal.refuse = func(instance.Lease) error { return full }
	l.journal.mu.Unlock()
	err := l.Close()
	var failed *instance.DisposeError
	if !errors.As(err, &failed) || !errors.Is(err, full) {
		t.Errorf("got %v; want a DisposeError and %v", err, full)
	}
}

// Very many instances are more than one command can name.
func TestHookDisposeMany(t *testing.T) {
	long := strings.Repeat("x", 240)
	l := newLab(t, instance.HookCommands{
		Provision: "for i in $(seq $INSTANCE_COUNT); do echo $i-" + long + "; done",
		Dispose:   "echo '' $INSTANCE_IDS >>disposed",
	})
	instances, err := l.Provision(t.Context(), 600)
	if err != nil || len(instances) != 600 {
		t.Fatalf("got %d instances, %v", len(instances), err)
	}
	l.close()
	l.wantNoLeases()
	disposed := l.file("disposed")
	if got := len(strings.Fields(disposed)); got != 600 {
		t.Errorf("got %d disposed of; want 600", got)
	}
	if calls := strings.Count(disposed, "\n"); calls < 2 || calls > 10 {
		t.Errorf("got %d calls; want some", calls)
	}
}

// What earlier processes left is given back by one call for all that belongs
// together.
func TestDisposer(t *testing.T) {
	l := newLab(t, instance.HookCommands{})
	other := t.TempDir()
	dispose := `echo "$A" $INSTANCE_IDS >>disposed`
	for _, lease := range []instance.Lease{
		{ID: "b", Dispose: dispose, Dir: l.dir},
		{ID: "x", Dispose: dispose, Dir: other, Section: "other"},
		{Dispose: dispose, Dir: l.dir},
		{ID: "a", Dispose: dispose, Dir: l.dir},
		{ID: "a", Dispose: dispose + "; echo no >&2; exit 3", Dir: l.dir, Section: "third"},
		{ID: "-rf", Dispose: dispose, Dir: l.dir},
		{ID: "gone", Dispose: dispose, Dir: l.dir + "/gone"},
	} {
		if _, err := l.journal.Put(lease); err != nil {
			t.Fatal(err)
		}
	}
	leases, _ := l.journal.Leases()
	d := instance.Disposer{Local: l.Local, Journal: l.journal, Env: []string{"A=env"}}
	var got []string
	for _, disposal := range d.Dispose(t.Context(), leases) {
		ids := make([]string, len(disposal.Leases))
		for n, lease := range disposal.Leases {
			ids[n] = lease.ID
		}
		got = append(got, fmt.Sprintf("%q %v", ids, disposal.Err))
	}
	want := []string{
		`["a" "b"] <nil>`,
		`["x"] <nil>`,
		`[""] dispose of : the hook had not said what it got when its testr ended`,
		"[\"a\"] dispose of a: [instance third] instance_dispose: exit status 3\nno",
		`["-rf"] dispose of -rf: "-rf" is no id: it begins like an option`,
		`["gone"] dispose of gone: instance_dispose: start "/bin/sh": enter the working directory: stat ` + l.dir +
			`/gone: no such file or directory`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("disposals (-want +got):\n%s", diff)
	}
	if got, want := l.file("disposed"), "env a b\nenv a\nenv a\n"; got != want {
		t.Errorf("got %q disposed of; want %q", got, want)
	}
	if diff := cmp.Diff([]string{"", "-rf", "a", "gone"}, l.journal.ids()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if leases, _ := l.journal.Leases(); !errors.Is(d.Dispose(t.Context(), leases)[0].Err, instance.ErrNoID) {
		t.Errorf("want %v", instance.ErrNoID)
	}
}

// Who interrupts disposing is not kept waiting, and nothing is forgotten.
func TestDisposerCancelled(t *testing.T) {
	l := newLab(t, instance.HookCommands{})
	for _, id := range []string{"a", "b"} {
		lease := instance.Lease{ID: id, Section: id, Dispose: "echo $INSTANCE_IDS >>disposed; sleep 100", Dir: l.dir}
		if _, err := l.journal.Put(lease); err != nil {
			t.Fatal(err)
		}
	}
	leases, _ := l.journal.Leases()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []instance.Disposal)
	go func() { done <- (&instance.Disposer{Local: l.Local, Journal: l.journal}).Dispose(ctx, leases) }()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for l.file("disposed") == "" {
		<-look.C
	}
	cancel()
	for _, disposal := range <-done {
		if !errors.Is(disposal.Err, context.Canceled) {
			t.Errorf("got %v; want %v", disposal.Err, context.Canceled)
		}
	}
	if got := l.file("disposed"); got != "a\n" {
		t.Errorf("got %q disposed of; want the first begun", got)
	}
	if got := l.journal.ids(); len(got) != 2 {
		t.Errorf("got leases %q; want both", got)
	}
}

// Giving back ends when nobody waits for it any more, and what is left is in the
// journal.
func TestHookAbandoned(t *testing.T) {
	abandon := make(chan struct{})
	l := newLab(t, instance.HookCommands{Provision: counting, Dispose: disposeLogging + "; exec sleep 600"})
	l.Abandon = abandon
	l.provision(1, "i-0")
	go func() {
		for l.file("disposed") == "" {
			runtime.Gosched()
		}
		close(abandon)
	}()
	began := time.Now()
	err := l.Close()
	var failed *instance.DisposeError
	if !errors.As(err, &failed) || time.Since(began) > 30*time.Second {
		t.Fatalf("got %v after %v; want a DisposeError, soon", err, time.Since(began))
	}
	wantText(t, err.Error(), "dispose of i-0: [instance lab] instance_dispose: it was ended because nobody waits")
	if got := l.journal.ids(); !slices.Equal(got, []string{"i-0"}) {
		t.Errorf("got %q in the journal; want what is left", got)
	}
	if got := l.file("disposed"); got != "i-0\n" {
		t.Errorf("got %q disposed of; want one try", got)
	}
}
