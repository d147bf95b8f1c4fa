package runner

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"testr/internal/config"
)

// newRequest makes a request of a configuration.
func newRequest(t *testing.T, conf string, sel Selection) Request {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, config.Name), []byte("[DEFAULT]\n"+conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Request{Config: cfg, Select: sel, Self: self,
		Log: hclog.New(&hclog.LoggerOptions{Output: t.Output(), Level: hclog.Trace})}
}

// planOf is the plan of the request's only profile.
func planOf(t *testing.T, req Request) (*plan, error) {
	t.Helper()
	return newPlan(req, &req.Config.Profiles[0], t.TempDir())
}

// sessionOf is a session with the profiles of a request, and no more.
func sessionOf(t *testing.T, req Request) *session {
	t.Helper()
	s := &session{req: req, temp: t.TempDir()}
	if err := s.newProfiles(); err != nil {
		t.Fatal(err)
	}
	s.running = s.profiles
	return s
}

// TestMode is the table of what can be selected and listed.
func TestMode(t *testing.T) {
	const (
		neither    = "test_command=x\n"
		selectable = "test_command=x $IDOPTION\ntest_id_option=-l $IDFILE\n"
		listable   = "test_command=x $LISTOPT\ntest_list_option=--list\n"
		both       = "test_command=x $LISTOPT $IDOPTION\ntest_id_option=-l $IDFILE\ntest_list_option=--list\n"
		python     = "test_command=python3 -m unittest\n"
	)
	var (
		all     = Selection{}
		failing = Selection{Failing: true}
		some    = Selection{Filters: []*regexp.Regexp{regexp.MustCompile("x")}}
	)
	tests := []struct {
		name string
		conf string
		sel  Selection
		want mode
		err  error
	}{
		{"neither, all", neither, all, modePlain, nil},
		{"neither, failing", neither, failing, 0, ErrNotSelectable},
		{"neither, filters", neither, some, 0, ErrNotSelectable},
		{"selectable, all", selectable, all, modePlain, nil},
		{"selectable, failing", selectable, failing, modeBatch, nil},
		{"selectable, filters", selectable, some, 0, ErrNotListable},
		{"listable, all", listable, all, modeOnce, nil},
		{"listable, failing", listable, failing, 0, ErrNotSelectable},
		{"listable, filters", listable, some, 0, ErrNotSelectable},
		{"both, all", both, all, modeBatch, nil},
		{"both, failing", both, failing, modeBatch, nil},
		{"both, filters", both, some, modeBatch, nil},
		{"by default ids", neither + "test_id_list_default=a b\n", all, modeOnce, nil},
		{"python", python, some, modeStream, nil},
		{"python, but in batches", python + "worker=batch\n", all, modePlain, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := planOf(t, newRequest(t, test.conf, test.sel))
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.mode(test.sel.known())
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, test.want, test.err)
			}
		})
	}
}

func TestForcedWorkerThatDoesNotFit(t *testing.T) {
	_, err := planOf(t, newRequest(t, "test_command=make check | tee log\nworker=python\n", Selection{}))
	if err == nil || !strings.Contains(err.Error(), "worker=python (line 3) does not fit") {
		t.Errorf("got %v; want an error that says why it does not fit", err)
	}
}

func TestBatchHalvesWhatIsTooLong(t *testing.T) {
	p, err := planOf(t, newRequest(t, "test_command=x $IDLIST\n", Selection{}))
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{"a\nb"}
	for range 100 {
		ids = append(ids, strings.Repeat("x", 4000))
	}
	b, err := p.batch(here, ids)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b.Given); n == 0 || n >= 50 {
		t.Errorf("got %d ids in one command; want as many as fit", n)
	}
	if len(b.Refused) != 1 {
		t.Errorf("got %+v refused; want the id with a newline", b.Refused)
	}
	long := strings.Repeat("x", 200_000) // which no command can have
	b, err = p.batch(here, []string{long, "a", "b"})
	if err != nil || len(b.Refused) != 1 || b.Refused[0].Test != long || len(b.Given) > 0 {
		t.Errorf("got %d refused, %q given, %v; want the long id to be refused, and no others", len(b.Refused), b.Given, err)
	}
}

// TestModeOfWhatNeedsIDs: what a test command can't do without being given ids is
// refused, by the name of what was asked for.
func TestModeOfWhatNeedsIDs(t *testing.T) {
	two, none := 2, 0
	tests := []struct {
		name    string
		ask     func(*Request)
		refused bool
	}{
		{"--isolated", func(r *Request) { r.Isolated = true }, true},
		{"--random", func(r *Request) { r.Random = true }, true},
		{"--plan", func(r *Request) { r.Segments = &Segments{} }, true},
		{"--retries", func(r *Request) { r.Retries = &two }, true},
		{"--partition", func(r *Request) { r.Select.Partition = Partition{1, 2} }, true},
		{"--resume", func(r *Request) { r.Select.Resume = true }, true},
		{"--like", func(r *Request) { r.Select.Like = &Like{} }, true},
		{"no retries", func(r *Request) { r.Retries = &none }, false},
		{"--max-fail", func(r *Request) { r.MaxFail = 1 }, false},
	}
	for _, test := range tests {
		for _, conf := range []string{"test_command=x\n", "test_command=x $LISTOPT\ntest_list_option=--list\n"} {
			req := newRequest(t, conf, Selection{})
			test.ask(&req)
			p, err := planOf(t, req)
			if err != nil {
				t.Fatal(err)
			}
			m, err := p.mode(req.Select.known())
			if !test.refused {
				if err != nil || m == modeBatch {
					t.Errorf("%s with %q: got %v, %v; want it run as it is", test.name, conf, m, err)
				}
				continue
			}
			var hinted *HintError
			if !errors.Is(err, ErrNotSelectable) || !errors.As(err, &hinted) || !strings.HasSuffix(hinted.Hint, test.name) {
				t.Errorf("%s with %q: got %v (%+v); want %v and the option's name", test.name, conf, err, hinted,
					ErrNotSelectable)
			}
		}
	}
}
