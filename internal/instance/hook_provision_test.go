package instance_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
)

// A hook that gives fewer than it was asked for is asked again for the rest.
func TestHookProvisionRest(t *testing.T) {
	l := newLab(t, instance.HookCommands{
		Provision: "echo $INSTANCE_COUNT >>asked; n=$(wc -l <asked); echo i-$n j-$n", Dispose: disposeLogging})
	l.provision(5, "i-1", "j-1", "i-2", "j-2", "i-3")
	if got := l.file("asked"); got != "5\n3\n1\n" {
		t.Errorf("asked for %q; want 5, 3, 1", got)
	}
	l.provision(2, "j-3", "i-4") // j-3 was there
	if got := l.file("asked"); got != "5\n3\n1\n1\n" {
		t.Errorf("asked for %q; want 1 in the end", got)
	}
	l.close()
	l.wantNoLeases()
	if got, want := l.file("disposed"), "i-1 i-2 i-3 i-4 j-1 j-2 j-3 j-4\n"; got != want {
		t.Errorf("got %q disposed of; want %q", got, want)
	}
	if len(l.warnings) > 0 {
		t.Errorf("got warnings: %q", l.warnings)
	}
}

func TestHookProvisionNone(t *testing.T) {
	l := newLab(t, instance.HookCommands{Provision: "instances 3"})
	if instances, err := l.Provision(t.Context(), 0); err != nil || len(instances) > 0 {
		t.Errorf("got %v, %v; want none", instances, err)
	}
}

// Once is once, and what it got is given back all the same.
func TestHookProvisionOnce(t *testing.T) {
	l := newLab(t, instance.HookCommands{Provision: "echo x >>tries; echo i-1; exit 1", Dispose: disposeLogging})
	l.Once = true
	if _, err := l.Provision(t.Context(), 1); err == nil {
		t.Error("got no error")
	}
	if tries, disposed := l.file("tries"), l.file("disposed"); tries != "x\n" || disposed != "i-1\n" {
		t.Errorf("got %q tries, %q disposed of; want one, and i-1", tries, disposed)
	}
	l.wantNoLeases()
}

// F9, F10: a hook that does not what it should is tried three times. The error
// says what it did; what it had got is given back.
func TestHookProvisionErrors(t *testing.T) {
	tests := []struct {
		name, hook string
		want       []string
		disposed   string // by each try
	}{
		{"fails", "echo no quota >&2; exit 7", []string{"instance_provision: exit status 7\nno quota"}, ""},
		{"fails late", "echo i-1 i-2; echo no quota >&2; exit 7",
			[]string{"[instance lab] instance_provision: exit status 7; it printed \"i-1 i-2\"", "\nno quota"}, "i-1 i-2"},
		{"prints nothing", "set -x; true", []string{"it printed no ids (it has to print", "\n+ true"}, ""},
		{"prints white space", "printf ' \\n\\t\\r\\n'", []string{"it printed no ids"}, ""},
		{"dies", "kill -9 $$", []string{"killed by SIGKILL"}, ""},
		{"is none", "testr-no-such-program", []string{"exit status 127", "testr-no-such-program"}, ""},
		{"an id twice", "echo a b a",
			[]string{`it printed the id "a", which another instance has; it printed "a b a"`}, "a b"},
		{"an option", "echo a -rf", []string{`it printed "-rf", which is no id: it begins like an option`}, "a"},
		{"a control character", `printf 'a \033[31mb\n'`, []string{`"\x1b[31mb", which is no id`, "can't be printed"}, "a"},
		{"not UTF-8", `printf '\377\n'`, []string{"is not UTF-8"}, ""},
		{"a NUL", `printf 'a\000b\n'`, []string{"can't be printed"}, ""},
		{"long", `printf 'a %0256d\n' 1`, []string{"longer than 255 bytes"}, "a"},
		{"endless word", "cat /dev/zero | tr '\\000' x", []string{"longer than 255 bytes"}, ""},
		{"endless words", "seq 1000000", []string{"it printed more than 102 ids where 1 were asked for"},
			"1 2 3 4 5 6 7 8 9 10 "},
		{"much on stderr", "yes noise | head -n 1000000 >&2; echo last >&2; exit 1", []string{"[...]", "noise\nlast"}, ""},
		{"escapes on stderr", `printf '\033[2J' >&2; exit 1`, []string{"\n\uFFFD[2J"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, instance.HookCommands{Provision: "echo >>tries; " + tt.hook, Dispose: disposeLogging})
			instances, err := l.Provision(t.Context(), 1)
			var failed *instance.HookError
			if !errors.As(err, &failed) || len(instances) > 0 {
				t.Fatalf("got %d instances, %v; want a HookError", len(instances), err)
			}
			wantText(t, err.Error(), tt.want...)
			if len(err.Error()) > 6000 {
				t.Errorf("got an error of %d bytes; want it bounded", len(err.Error()))
			}
			if got := len(l.file("tries")); got != 3 {
				t.Errorf("got %d tries; want 3", got)
			}
			lines := strings.SplitAfter(l.file("disposed"), "\n")
			if want := 3; tt.disposed != "" && len(lines)-1 != want || !strings.HasPrefix(lines[0], tt.disposed) {
				t.Errorf("got %q disposed of; want %q %d times", lines, tt.disposed, want)
			}
			l.wantNoLeases()
		})
	}
}

// F10: one that fails now and then is good enough.
func TestHookProvisionFlaps(t *testing.T) {
	l := newLab(t, instance.HookCommands{
		Provision: "echo >>tries; n=$(wc -l <tries); echo i-$n; test $((n%3)) = 0", Dispose: disposeLogging})
	l.provision(2, "i-3", "i-6")
	if got, want := l.file("disposed"), "i-1\ni-2\ni-4\ni-5\n"; got != want {
		t.Errorf("got %q disposed of; want %q", got, want)
	}
	l.close()
	l.wantNoLeases()
}

// A hook that gives no more than some is good enough for those.
func TestHookProvisionFewer(t *testing.T) {
	l := newLab(t, instance.HookCommands{Provision: "echo host-1 host-2", Dispose: disposeLogging})
	l.provision(5, "host-1", "host-2")
	if len(l.warnings) != 1 {
		t.Fatalf("got warnings %q; want one", l.warnings)
	}
	wantText(t, l.warnings[0], "got 2 instances instead of 5", `the id "host-1", which another instance has`)
	if got := l.file("disposed"); got != "" {
		t.Errorf("got %q disposed of while it is used", got)
	}
	l.close()
	l.wantNoLeases()
	if got := l.file("disposed"); got != "host-1 host-2\n" {
		t.Errorf("got %q disposed of; want both", got)
	}
}

// F9: a hook that hangs is ended in time, whatever it does against that, and
// what it had said is given back. A word that it was killed in is not an id.
func TestHookProvisionTimeout(t *testing.T) {
	for name, tt := range map[string]struct{ hook, disposed string }{
		"sleeps":              {"echo i-1; printf i-2; sleep 100", "i-1\n"},
		"ignores TERM":        {"trap '' TERM; echo i-1; while :; do sleep 1; done", "i-1\n"},
		"ends with 0 at TERM": {"trap 'exit 0' TERM; echo i-1; while :; do sleep 0.01; done", "i-1\n"},
		"floods":              {"echo i-1; yes >&2", "i-1\n"},
		"says nothing":        {"exec 1>&- 2>&-; sleep 100", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, instance.HookCommands{Provision: tt.hook, Dispose: disposeLogging})
			l.ProvisionTimeout = 2 * time.Second // in which a shell begins, however busy the machine is
			begun := time.Now()
			_, err := l.Provision(t.Context(), 1)
			if err == nil {
				t.Fatal("got no error")
			}
			wantText(t, err.Error(), "instance_provision: it was ended after 2s, which provision_timeout allows")
			if took := time.Since(begun); took > 40*time.Second {
				t.Errorf("took %v", took)
			}
			if got, want := l.file("disposed"), strings.Repeat(tt.disposed, 3); got != want {
				t.Errorf("got %q disposed of; want %q", got, want)
			}
			l.wantNoLeases()
		})
	}
}

// A hook that ends while something of its holds its output has ended.
func TestHookProvisionGrandchild(t *testing.T) {
	exe := instancetest.Program(t, "session").Args[0]
	for name, hook := range map[string]string{
		"in its group": "sleep 100 & echo i-1",
		"in a session of its own": strings.Join(instancetest.ProgramEnv(), " ") + " " + exe +
			" session 'sleep 100'; echo i-1",
	} {
		l := newLab(t, instance.HookCommands{Provision: hook, Dispose: disposeLogging})
		begun := time.Now()
		l.provision(1, "i-1")
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// F2: an id is in the journal as soon as it is printed.
func TestHookProvisionJournalsAtOnce(t *testing.T) {
	l := newLab(t, instance.HookCommands{
		Provision: "echo i-1; echo i-2; printf i-3; exec sleep 100", Dispose: disposeLogging})
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error)
	go func() {
		_, err := l.Provision(ctx, 3)
		failed <- err
	}()
	for range 3 { // the hook at work, and two ids that are complete
		<-l.journal.put
	}
	if diff := cmp.Diff([]string{"", "i-1", "i-2"}, l.journal.ids()); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
	// Ctrl-C.
	cause := errors.New("interrupted")
	cancel(cause)
	if err := <-failed; !errors.Is(err, cause) {
		t.Errorf("got %v; want %v", err, cause)
	}
	l.wantNoLeases()
	if got := l.file("disposed"); got != "i-1 i-2\n" {
		t.Errorf("got %q disposed of; want i-1 and i-2", got)
	}
}

// What was got in earlier rounds of a call is given back with the rest of it.
func TestHookProvisionCancelled(t *testing.T) {
	l := newLab(t, instance.HookCommands{
		Provision: "echo >>tries; n=$(wc -l <tries); echo i-$n; test $n -lt 3 || sleep 100", Dispose: disposeLogging})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := l.Provision(ctx, 3)
		failed <- err
	}()
	for range 6 { // three rounds, an id each
		<-l.journal.put
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want %v", err, context.Canceled)
	}
	l.wantNoLeases()
	if got := l.file("disposed"); got != "i-3\ni-1 i-2\n" {
		t.Errorf("got %q disposed of; want all three", got)
	}
	l.close()
}

// Without a journal entry nothing is used, and no hook is started.
func TestHookProvisionNoJournal(t *testing.T) {
	for _, id := range []string{"", "i-2"} {
		l := newLab(t, instance.HookCommands{Provision: "echo >>tries; echo i-1 i-2 i-3", Dispose: disposeLogging})
		full := errors.New("disk full")
		l.journal.refuse = func(lease instance.Lease) error {
			if lease.ID == id {
				return full
			}
			return nil
		}
		_, err := l.Provision(t.Context(), 3)
		if !errors.Is(err, full) {
			t.Errorf("%q: got %v; want %v", id, err, full)
		}
		tries, disposed := 0, ""
		if id != "" {
			tries, disposed = 1, "i-1\ni-2\n" // the second one by Close
		}
		l.close()
		if got := len(l.file("tries")); got != tries {
			t.Errorf("%q: got %d tries; want %d", id, got, tries)
		}
		if got := l.file("disposed"); got != disposed {
			t.Errorf("%q: got %q disposed of; want %q", id, got, disposed)
		}
		l.wantNoLeases()
	}
}

// The count is a number, wherever it stands; other variables are the shell's.
func TestHookProvisionCount(t *testing.T) {
	l := newLab(t, instance.HookCommands{Provision: `echo "$INSTANCE_COUNTx" '$INSTANCE_COUNT'-$SUFFIX`})
	l.Env = []string{"SUFFIX=y"}
	l.provision(2, "2x", "2-y")
}
