package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/repo"
)

// hooked is a configuration with the hooks of [DEFAULT] and of [instance lab],
// in a directory of its own.
func hooked(t *testing.T) *config.Config {
	t.Helper()
	dir := t.TempDir()
	hooks := func(name string) config.Instance {
		return config.Instance{Name: name, Type: config.InstanceHook, Env: []string{"SECTION=" + name},
			Dispose:        config.Value{Text: `test ! -e broken && echo "$SECTION:" $INSTANCE_IDS >>disposed`, Line: 3},
			DisposeTimeout: time.Minute}
	}
	def, lab := hooks(""), hooks("lab")
	other := config.Instance{Name: "host", Type: config.InstanceSSH}
	return &config.Config{File: filepath.Join(dir, config.Name), Root: dir, Hooks: &def,
		Instances: []config.Instance{other, lab}}
}

func put(t *testing.T, r *repo.Repository, leases ...repo.Lease) {
	t.Helper()
	for _, l := range leases {
		l.PID, l.Since = 4711, time.Now()
		if _, err := r.PutLease(l); err != nil {
			t.Fatal(err)
		}
	}
}

// leftIn are the ids that are still in the repository.
func leftIn(t *testing.T, r *repo.Repository) (ids []string) {
	t.Helper()
	leases, err := r.Leases()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		ids = append(ids, LeaseName(l))
	}
	return ids
}

// readFile is what a file has, or nothing.
func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// What earlier runs got here is given back before a run gets anything, by the
// commands of the configuration; what can't be is told, and stays.
func TestDisposeStale(t *testing.T) {
	r, c := newRepo(t), hooked(t)
	const pwn = "touch pwned"
	put(t, r,
		repo.Lease{ID: "b", Dispose: pwn, Dir: c.Root},
		repo.Lease{ID: "x", Dispose: pwn, Dir: c.Root, Section: "lab"},
		repo.Lease{ID: "a", Dispose: pwn, Dir: c.Root},
		repo.Lease{ID: "gone", Dispose: pwn, Dir: c.Root, Section: "gone"},
		repo.Lease{ID: "ssh", Dispose: pwn, Dir: c.Root, Section: "host"},
		repo.Lease{Dispose: pwn, Dir: c.Root},
		repo.Lease{ID: "copied", Dispose: pwn, Dir: t.TempDir()},
		repo.Lease{ID: "nowhere", Dispose: pwn, Dir: "/nowhere"},
	)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(c.Root, link); err != nil {
		t.Fatal(err)
	}
	put(t, r, repo.Lease{ID: "linked", Dir: link})
	var warnings []string
	warn := func(err error) {
		warnings = append(warnings, err.Error())
		var hinted *HintError
		if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint, `"testr instances forget @`) {
			t.Errorf("%v: got the hint %v; want one that tells how to forget it", err, hinted)
		}
	}
	machine := &instance.Local{}
	if err := DisposeStale(t.Context(), r, c, machine, warn); err != nil {
		t.Fatal(err)
	}
	if got, want := readFile(t, filepath.Join(c.Root, "disposed")), ": a b linked\nlab: x\n"; got != want {
		t.Errorf("got %q disposed of; want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(c.Root, "pwned")); err == nil {
		t.Error("a command of the repository was run")
	}
	if diff := cmp.Diff([]string{"gone", "ssh", "@6", "copied", "nowhere"}, leftIn(t, r)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	want := []string{
		"left by an earlier run: @6 of [DEFAULT]: a hook was at work here",
		"left by an earlier run: dispose of gone: " + c.File + " has no [instance gone] with an instance_dispose for it",
		"left by an earlier run: dispose of ssh: " + c.File + " has no [instance host] with an instance_dispose for it",
		"instance copied of [DEFAULT] was left by a run in ",
		"instance nowhere of [DEFAULT] was left by a run in /nowhere",
	}
	if len(warnings) != len(want) {
		t.Fatalf("got %d warnings; want %d:\n%s", len(warnings), len(want), strings.Join(warnings, "\n"))
	}
	for n := range want {
		if !strings.HasPrefix(warnings[n], want[n]) {
			t.Errorf("got %q; want %q", warnings[n], want[n])
		}
	}
}

// A command that fails leaves its leases, with the reason, and the others' are
// given back.
func TestDisposeStaleFails(t *testing.T) {
	r, c := newRepo(t), hooked(t)
	c.Hooks.Dispose.Text = "echo no network >&2; exit 7"
	put(t, r, repo.Lease{ID: "a", Dir: c.Root}, repo.Lease{ID: "x", Dir: c.Root, Section: "lab"})
	var warnings []string
	warn := func(err error) { warnings = append(warnings, err.Error()) }
	if err := DisposeStale(t.Context(), r, c, &instance.Local{}, warn); err != nil {
		t.Fatal(err)
	}
	want := []string{"left by an earlier run: dispose of a: instance_dispose: exit status 7\nno network"}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	leases, err := r.Leases()
	if err != nil || len(leases) != 1 || !strings.Contains(leases[0].Failure, "no network") {
		t.Errorf("got %+v, %v; want that of a with its failure", leases, err)
	}
}

// Ctrl-C ends a command that hangs.
func TestDisposeStaleCancelled(t *testing.T) {
	r, c := newRepo(t), hooked(t)
	c.Hooks.Dispose.Text = ": $INSTANCE_IDS; echo >begun; exec sleep 100"
	put(t, r, repo.Lease{ID: "a", Dir: c.Root})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	done := make(chan error)
	go func() {
		done <- DisposeStale(ctx, r, c, &instance.Local{}, func(err error) { t.Errorf("got a warning: %v", err) })
	}()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for readFile(t, filepath.Join(c.Root, "begun")) == "" {
		<-look.C
	}
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("got %v; want %v", err, cause)
	}
	if got := leftIn(t, r); fmt.Sprint(got) != "[a]" {
		t.Errorf("got %q left; want a", got)
	}
}

func TestDisposeStaleNothing(t *testing.T) {
	r, c := newRepo(t), hooked(t)
	err := DisposeStale(t.Context(), r, c, nil, func(err error) { t.Errorf("got a warning: %v", err) })
	if err != nil {
		t.Error(err)
	}
}

// A repository keeps the leases of hooks: what is got is there before it is used,
// and after a crash.
func TestJournal(t *testing.T) {
	r := newRepo(t)
	commands := instance.HookCommands{Provision: "echo i-1 i-2", Dispose: ": $INSTANCE_IDS"}
	h := &instance.Hook{
		Section: "lab", Commands: commands, Dir: t.TempDir(), Local: &instance.Local{}, Journal: journal{r}}
	if _, err := h.Provision(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"i-1", "i-2"}, leftIn(t, r)); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
	leases, err := journal{r}.Leases()
	if err != nil || len(leases) != 2 || leases[0].Section != "lab" || leases[0].PID != os.Getpid() {
		t.Errorf("got %+v, %v; want the two of this process", leases, err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if got := leftIn(t, r); len(got) > 0 {
		t.Errorf("got %q left; want nothing", got)
	}
}
