package runner

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"testr/internal/config"
	"testr/internal/protocol"
	"testr/internal/repo"
)

// keeper is a project whose hooks and commands write down that they were called.
type keeper struct {
	t     *testing.T
	dir   string
	repo  *repo.Repository
	fleet *Fleet
}

// keepingHooks get instances whose ids the place has numbered.
const keepingHooks = `
instance_provision=for i in $(seq $INSTANCE_COUNT); do n=$(ls ids | wc -l); mkdir ids/$n; echo got i-$n >>log; echo i-$n
 done
instance_execute=echo $WHO on $INSTANCE_ID >>log; $COMMAND
instance_dispose=for i in $INSTANCE_IDS; do echo $WHO gives $i >>log; done
worker=batch
test_command=for i in $IDOPTION; do cat $i; done
test_id_option=$IDLIST
test_id_list_default=a b
`

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	k := &keeper{t: t, dir: t.TempDir(), repo: newRepo(t)}
	for _, id := range []string{"a", "b"} {
		stream := encode(t, packet(id, protocol.StatusInProgress), packet(id, protocol.StatusSuccess))
		if err := os.WriteFile(filepath.Join(k.dir, id), stream, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(k.dir, "ids"), 0o700); err != nil {
		t.Fatal(err)
	}
	k.open()
	t.Cleanup(func() {
		if err := k.fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *keeper) open() {
	k.t.Helper()
	self, err := os.Executable()
	if err != nil {
		k.t.Fatal(err)
	}
	k.fleet = NewFleet(FleetConfig{Repo: k.repo, Root: k.dir, Self: self, Log: hclog.NewNullLogger(),
		Warn: func(err error) { k.t.Errorf("got a warning: %v", err) }})
}

// run makes a run on the fleet, with so many workers, for somebody.
func (k *keeper) run(conf string, workers int, who string) {
	k.t.Helper()
	req := newRequest(k.t, conf, Selection{})
	text, err := os.ReadFile(req.Config.File)
	if err == nil {
		err = os.WriteFile(filepath.Join(k.dir, config.Name), text, 0o600)
	}
	if err == nil {
		req.Config, err = config.Load(k.dir)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	req.Repo, req.Parallel, req.Concurrency = k.repo, workers > 1, workers
	req.Environ = []string{"WHO=" + who, "PATH=" + os.Getenv("PATH")}
	req.Warn = func(err error) { k.t.Errorf("got a warning: %v", err) }
	runs, err := k.fleet.Runs(req)
	if err != nil {
		k.t.Fatal(err)
	}
	res, err := runs.Next(k.t.Context(), Turn{})
	if err = errors.Join(err, runs.Close()); err != nil {
		k.t.Fatal(err)
	}
	if c := res.Outcomes.Counts(); c.Tests != 2 || c.Failed > 0 || c.NotRun > 0 {
		k.t.Errorf("got %+v; want two tests that pass", c)
	}
}

// log returns what was written down since it was asked last, those lines that
// begin with one of the words, in order of the alphabet.
func (k *keeper) log(words ...string) []string {
	k.t.Helper()
	name := filepath.Join(k.dir, "log")
	text, err := os.ReadFile(name)
	if err = errors.Join(err, os.Remove(name)); err != nil {
		k.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(line, w) })
	})
	slices.Sort(lines)
	return slices.Compact(lines)
}

func (k *keeper) want(got []string, want ...string) {
	k.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Errorf("what hooks and commands did (-want +got):\n%s", diff)
	}
}

// TestFleetKeeps: what one request's run has got the next one's uses, and gets
// only what it needs beyond that.
func TestFleetKeeps(t *testing.T) {
	k := newKeeper(t)
	k.run(keepingHooks, 1, "ann")
	k.want(k.log("got", "ann", "bob"), "ann on i-0", "got i-0")
	k.run("\n# lines move\n"+keepingHooks, 2, "bob")
	k.want(k.log("got", "ann", "bob"), "bob on i-0", "bob on i-1", "got i-1")
	k.run(keepingHooks, 1, "ann")
	k.want(k.log("got", "ann", "bob"), "ann on i-0")
	if diff := cmp.Diff([]Kept{{IDs: []string{"i-0", "i-1"}}}, k.fleet.Instances()); diff != "" {
		t.Errorf("what the fleet says that it has (-want +got):\n%s", diff)
	}
	leases, err := k.repo.Leases()
	if err != nil || len(leases) != 2 {
		t.Errorf("got %d leases, %v; want those of the two instances", len(leases), err)
	}

	if err := k.fleet.Close(); err != nil {
		t.Fatal(err)
	}
	k.want(k.log("got", "ann", "bob"), "ann gives i-0", "ann gives i-1")
	if got := k.fleet.Instances(); got != nil {
		t.Errorf("got %v of a fleet that was closed; want nothing", got)
	}
	k.open()
	k.run(keepingHooks, 1, "bob")
	k.want(k.log("got", "ann", "bob"), "bob on i-2", "got i-2")
}

// TestFleetMatches: instances of a section that was changed, or is no more, are
// given back before others are got.
func TestFleetMatches(t *testing.T) {
	k := newKeeper(t)
	k.run(keepingHooks, 1, "ann")
	k.want(k.log("got", "ann"), "ann on i-0", "got i-0")
	changed := strings.Replace(keepingHooks, "echo $WHO on", "echo $WHO at", 1)
	k.run(changed, 1, "ann")
	k.want(k.log("got", "ann"), "ann at i-1", "ann gives i-0", "got i-1")

	hooks, rest, _ := strings.Cut(keepingHooks, "worker=")
	lab := "\n[instance lab]" + strings.Replace(hooks, "$WHO on", "lab on", 1)
	k.run("worker="+rest+lab, 1, "ann")
	k.want(k.log("got", "ann", "lab"), "ann gives i-1", "got i-2", "lab on i-2")
	k.run(changed+lab, 3, "ann") // and there are two tests
	k.want(k.log("got", "ann gives"), "got i-3", "got i-4")
}

// TestFleetStale: what an earlier testr left is given back, and what the fleet has
// is not, with every run.
func TestFleetStale(t *testing.T) {
	k := newKeeper(t)
	k.run(keepingHooks, 1, "ann")
	k.log()
	leases, err := k.repo.Leases()
	if err != nil || len(leases) != 1 {
		t.Fatalf("got %v, %v; want one lease", leases, err)
	}
	old := leases[0]
	old.ID, old.PID = "old", 1<<30
	if _, err := k.repo.PutLease(old); err != nil {
		t.Fatal(err)
	}
	k.run(keepingHooks, 1, "ann")
	k.want(k.log("got", "ann"), "ann gives old", "ann on i-0")
}
