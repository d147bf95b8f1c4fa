package runner

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/repo"
)

// streamConf is a configuration whose worker is a shell's, and needs no files.
const streamConf = `[DEFAULT]
worker=stream
worker_command=sh worker.sh $LISTOPT
test_command=false
test_list_option=--list
`

// workerScript lists two tests, and takes none.
const workerScript = "if [ \"$1\" = --list ]; then exec cat list; fi\nexec cat >/dev/null\n"

// doctored is a directory that Doctor is asked about.
type doctored struct {
	t       *testing.T
	dir     string
	timeout time.Duration
	checks  []Check
	found   Diagnosis
}

// newDoctored makes a directory with a repository and those files, beside the
// ones of streamConf.
func newDoctored(t *testing.T, files map[string]string) *doctored {
	t.Helper()
	d := &doctored{t: t, dir: t.TempDir()}
	all := map[string]string{config.Name: streamConf, "worker.sh": workerScript,
		"list": string(encode(t, packet("m.a", protocol.StatusExists), packet("m.b", protocol.StatusExists)))}
	maps.Copy(all, files)
	for name, content := range all {
		d.write(name, content)
	}
	if err := repo.Init(d.dir); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *doctored) path(name string) string { return filepath.Join(d.dir, name) }

func (d *doctored) write(name, content string) {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *doctored) read(name string) string {
	d.t.Helper()
	b, err := os.ReadFile(d.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
	return string(b)
}

// checkup is what Doctor is asked for.
func (d *doctored) checkup() Checkup {
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	return Checkup{Root: d.dir, Timeout: d.timeout, Tell: func(c Check) { d.checks = append(d.checks, c) },
		Request: Request{Self: self, Log: hclog.New(&hclog.LoggerOptions{Output: d.t.Output(), Level: hclog.Trace})}}
}

// examine asks Doctor.
func (d *doctored) examine() {
	d.t.Helper()
	var err error
	if d.found, err = Doctor(d.t.Context(), d.checkup()); err != nil {
		d.t.Errorf("Doctor: %v", err)
	}
	for _, c := range d.checks {
		d.t.Logf("%+v", c)
	}
}

// wantTrouble wants these checks not to be ok, by "instance: name" and outcome,
// and no others.
func (d *doctored) wantTrouble(want map[string]string) {
	d.t.Helper()
	got := map[string]string{}
	var counted Diagnosis
	for _, c := range d.checks {
		switch c.Outcome {
		case CheckOK:
			counted.OK++
			continue
		case CheckWarning:
			counted.Warnings++
		default:
			counted.Problems++
			counted.Faulty = counted.Faulty || c.Faulty
		}
		got[label(c)] = c.Outcome.String()
	}
	if want == nil {
		want = map[string]string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.t.Errorf("checks that are not ok (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(counted, d.found); diff != "" {
		d.t.Errorf("the diagnosis (-of the checks +got):\n%s", diff)
	}
}

func label(c Check) string {
	if c.Instance == "" {
		return c.Name
	}
	return c.Instance + ": " + c.Name
}

// want wants a check to be there whose detail, fix and line are like that. A line
// of 0 is any.
func (d *doctored) want(name string, outcome CheckOutcome, line int, texts ...string) {
	d.t.Helper()
	for _, c := range d.checks {
		if label(c) != name || c.Outcome != outcome {
			continue
		}
		shown := c.Detail + "\nfix: " + c.Fix
		for _, text := range texts {
			if !strings.Contains(shown, text) {
				d.t.Errorf("%s: got %q; want %q in it", name, shown, text)
			}
		}
		if line > 0 && (c.Line != line || c.File != d.path(config.Name)) {
			d.t.Errorf("%s: got %s:%d; want line %d of the configuration", name, c.File, c.Line, line)
		}
		return
	}
	d.t.Errorf("got no check %q that is %v", name, outcome)
}

// wantLeases wants so many instances to be in the repository, and no run.
func (d *doctored) wantLeases(want int) {
	d.t.Helper()
	r, err := repo.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	leases, err := r.Leases()
	if err != nil || len(leases) != want {
		d.t.Errorf("got %+v, %v in the repository; want %d instances", leases, err, want)
	}
	if _, err := r.Latest(); !errors.Is(err, repo.ErrNoRuns) {
		d.t.Errorf("got %v for the last run; want none", err)
	}
}

func TestDoctorHere(t *testing.T) {
	t.Parallel()
	d := newDoctored(t, nil)
	d.examine()
	d.wantTrouble(nil)
	d.want("configuration", CheckOK, 0, "this machine")
	d.want("repository", CheckOK, 0, "0 runs", "can be written")
	d.want("worker", CheckOK, 3, "worker=stream")
	d.want("this machine: worker", CheckOK, 0, "starts")
	d.want("listing", CheckOK, 0, "2 tests", "on this machine")
	d.wantLeases(0)
}

// TestDoctorConfiguration is about what is wrong before anything is reached.
func TestDoctorConfiguration(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		conf    string // empty for no file
		trouble map[string]string
		faulty  bool
		check   string
		outcome CheckOutcome
		line    int
		texts   []string
	}{
		{"none", "", map[string]string{"configuration": "problem"}, false,
			"configuration", CheckProblem, 0, []string{"no .testr.conf", "test_command="}},
		{"mistakes", "[DEFAULT]\ntest_command=x\nworker=streem\ntimeout=soon\n",
			map[string]string{"configuration": "problem"}, true, "configuration", CheckProblem, 3,
			[]string{`did you mean "stream"?`}},
		{"nothing to run", "[DEFAULT]\ntimeout=3\n", map[string]string{"configuration": "problem"}, true,
			"configuration", CheckProblem, 0, []string{`"test_command" is not set`}},
		{"warnings", streamConf + "test_comand=x\n", map[string]string{"configuration": "warning"}, false,
			"configuration", CheckWarning, 6, []string{`did you mean "test_command"?`}},
		{"a worker that does not fit", "[DEFAULT]\ntest_command=make check\nworker=python\n",
			map[string]string{"worker": "problem"}, true, "worker", CheckProblem, 2,
			[]string{"worker=python (line 3) does not fit"}},
		{"no shell command", "[DEFAULT]\ntest_command=cat list #$LISTOPT $IDLIST\n  if\ntest_list_option=x\nworker=batch\n",
			map[string]string{"worker": "problem", "listing": "problem"}, true, "worker", CheckProblem, 2,
			[]string{"the shell can't read it", "yntax error"}},
		{"batches", "[DEFAULT]\ntest_command=cat list #$LISTOPT $IDLIST\ntest_list_option=x\n", nil, false,
			"worker", CheckOK, 2, []string{"in batches: "}},
		{"one process", "[DEFAULT]\ntest_command=cat list\n[instance here]\ntype=local\nslots=3\n",
			map[string]string{"worker": "warning", "slots": "warning", "listing": "warning"}, false,
			"slots", CheckWarning, 3, []string{"of 3 slots one is used"}},
		{"idle slots", streamConf + "[instance here]\ntype=local\nslots=3\n", map[string]string{"slots": "warning"}, false,
			"slots", CheckWarning, 6, []string{"of 3 slots 1 will have nothing to do", "2 tests"}},
		{"idle slots, as of groups", streamConf + "group_regex=m\\.\n[instance here]\ntype=local\nslots=2\n",
			map[string]string{"slots": "warning"}, false, "slots", CheckWarning, 7, []string{"1 group of tests"}},
		{"concurrency", streamConf + "test_run_concurrency=echo many\n", map[string]string{"concurrency": "problem"}, false,
			"concurrency", CheckProblem, 6, []string{`printed "many"`, "nproc"}},
		{"ids of the configuration", "[DEFAULT]\ntest_command=cat list #$IDLIST\ntest_id_list_default=a b c\n", nil, false,
			"listing", CheckOK, 0, []string{"3 tests, as test_id_list_default says"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDoctored(t, map[string]string{config.Name: test.conf})
			if test.conf == "" {
				if err := os.Remove(d.path(config.Name)); err != nil {
					t.Fatal(err)
				}
			}
			d.examine()
			d.wantTrouble(test.trouble)
			d.want(test.check, test.outcome, test.line, test.texts...)
			if d.found.Faulty != test.faulty {
				t.Errorf("got faulty %v; want %v", d.found.Faulty, test.faulty)
			}
			d.wantLeases(0)
		})
	}
}

func TestDoctorRepository(t *testing.T) {
	t.Parallel()
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		d := newDoctored(t, nil)
		if err := os.RemoveAll(d.path(repo.DirName)); err != nil {
			t.Fatal(err)
		}
		d.examine()
		d.wantTrouble(map[string]string{"repository": "warning"})
		d.want("repository", CheckWarning, 0, "no repository", "testr init")
	})
	t.Run("damaged", func(t *testing.T) {
		t.Parallel()
		d := newDoctored(t, nil)
		d.write(filepath.Join(repo.DirName, repo.FileName), strings.Repeat("x", 100_000))
		d.examine()
		d.wantTrouble(map[string]string{"repository": "problem"})
		d.want("repository", CheckProblem, 0, "move the directory .testr away")
	})
	t.Run("in use", func(t *testing.T) {
		t.Parallel()
		d := newDoctored(t, nil)
		r, err := repo.Open(d.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		d.examine()
		d.wantTrouble(map[string]string{"repository": "warning"})
		d.want("repository", CheckWarning, 0, "ask again when it has ended")
	})
	t.Run("instances are left", func(t *testing.T) {
		t.Parallel()
		d := newDoctored(t, nil)
		r, err := repo.Open(d.dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.PutLease(repo.Lease(instance.Lease{ID: "vm-1", Dispose: "true", Dir: d.dir, PID: 1}))
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		d.examine()
		d.wantTrouble(map[string]string{"repository": "warning"})
		d.want("repository", CheckWarning, 0, "1 instance was not given back", "testr instances list")
		d.wantLeases(1)
	})
}

// TestDoctorLocal is about what this machine lacks.
func TestDoctorLocal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		conf    string
		files   map[string]string
		trouble map[string]string
		check   string
		line    int
		texts   []string
	}{
		{"directory", streamConf + "[instance here]\ntype=local\ndirectory=nowhere\nslots=1\n", nil,
			map[string]string{"here: directory": "problem", "listing": "warning"}, "here: directory", 8, []string{"nowhere"}},
		{"a file", streamConf + "[instance here]\ntype=local\nslots=1\ndirectory=list\n", nil,
			map[string]string{"here: directory": "problem", "listing": "warning"}, "here: directory", 9,
			[]string{"list is none"}},
		{"setup", streamConf + "[instance here]\ntype=local\nslots=1\nsetup=echo no venv >&2; exit 5\n", nil,
			map[string]string{"here: setup": "problem", "listing": "warning"}, "here: setup", 9,
			[]string{"exit status 5", "no venv"}},
		{"setup prints", streamConf + "[instance here]\ntype=local\nslots=1\nsetup=echo ready\n", nil,
			map[string]string{"here: setup": "warning", "here: worker": "warning"}, "here: setup", 9, []string{"ready", ">&2"}},
		{"worker", streamConf, map[string]string{"worker.sh": "echo no module named x >&2; exit 1\n"},
			map[string]string{"this machine: worker": "problem", "listing": "problem"}, "this machine: worker", 3,
			[]string{"exit status 1", "no module named x", "sh worker.sh"}},
		{"worker prints", streamConf, map[string]string{"worker.sh": "echo begin\n" + workerScript},
			map[string]string{"this machine: worker": "warning"}, "this machine: worker", 3, []string{"begin"}},
		{"worker is damaged", streamConf, map[string]string{
			"worker.sh": "printf '\\263)\\001\\014\\003foo\\010U_\\034'\n" + workerScript},
			map[string]string{"this machine: worker": "problem", "listing": "warning"}, "this machine: worker", 3,
			[]string{"is no stream"}},
		{"no program", "[DEFAULT]\ntest_command=no-such-program $LISTOPT $IDLIST\ntest_list_option=--list\n", nil,
			map[string]string{"this machine: worker": "problem", "listing": "problem"}, "this machine: worker", 2,
			[]string{"no-such-program is not there"}},
		{"empty listing", streamConf, map[string]string{"list": "text\n"}, map[string]string{"listing": "problem"},
			"listing", 3, []string{"the listing is empty", "text"}},
		{"a listing with failures", streamConf, map[string]string{"list": string(encode(t,
			packet("m.a", protocol.StatusExists), packet("m.a", protocol.StatusExists),
			packet("m.broken", protocol.StatusFail)))},
			map[string]string{"listing": "warning"}, "listing", 3, []string{"m.broken"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDoctored(t, test.files)
			d.write(config.Name, test.conf)
			d.examine()
			d.wantTrouble(test.trouble)
			outcome := CheckWarning
			if test.trouble[test.check] == "problem" {
				outcome = CheckProblem
			}
			d.want(test.check, outcome, test.line, test.texts...)
		})
	}
}

// TestDoctorHanging: what hangs takes its time, and no more.
func TestDoctorHanging(t *testing.T) {
	t.Parallel()
	d := newDoctored(t, map[string]string{"worker.sh": "exec sleep 1000\n"})
	d.timeout = time.Second
	d.examine()
	d.wantTrouble(map[string]string{"this machine: worker": "problem", "listing": "problem"})
	d.want("this machine: worker", CheckProblem, 3, "longer than 1s", "testr worker check")
}
