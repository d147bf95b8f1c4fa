package daemon

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"testr/internal/api"
	"testr/internal/config"
	"testr/internal/repo"
	"testr/internal/runner"
)

// notAsked are the fields of a request that don't go over the socket, with what
// takes their place.
var notAsked = map[string]string{
	"Config":   "the daemon reads it",
	"Repo":     "the daemon's",
	"Ask":      "the daemon's",
	"Profiles": "their names go over, and the daemon's configuration has them",
	"Segments": "Plan",
	"Self":     "the daemon's",
	"Log":      "its level goes over, and lines come back",
	"Warn":     "messages", "Progress": "messages", "Announce": "messages",
	"Passphrase": "nobody is there to be asked",
	"Kill":       "a request", "Inspect": "a request",
	"Abandon": "the daemon's", "Pause": "it is the client that stops",
	"Turn": "Seed, and messages",
}

// TestAskedIsWhole: every field of a request goes over the socket and comes back,
// or is known not to.
func TestAskedIsWhole(t *testing.T) {
	retries, timeout, slow := 2, time.Minute, time.Second
	req := runner.Request{
		Config: &config.Config{Root: "."},
		Select: runner.Selection{Failing: true, Listed: true, List: []string{"a\xff", "b\x00c"},
			Lists:   map[string][]string{"py34": {"a"}},
			Filters: []*regexp.Regexp{regexp.MustCompile(`a\.b|"`)}, Partition: runner.Partition{K: 1, N: 3}, Resume: true,
			Like: &runner.Like{Run: 3, Route: "1/0"}, Args: []string{"--x=\xfe"}},
		Parallel: true, Concurrency: 7, Partial: true, Isolated: true, Random: true,
		Timeout: &timeout, Slow: &slow, Retries: &retries, MaxFail: 4,
		Environ: []string{"A=\xff", "B="}, Command: []string{"run", "\xff"},
	}
	v := reflect.ValueOf(req)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if notAsked[name] == "" && v.Field(i).IsZero() {
			t.Errorf("field %s is not asked for here: let it go over the socket, or say why not", name)
		}
	}
	for i := range v.FieldByName("Select").NumField() {
		if v.FieldByName("Select").Field(i).IsZero() {
			t.Errorf("the selection's %s is not asked for here", v.FieldByName("Select").Type().Field(i).Name)
		}
	}

	asked := echo(t, ask(req))
	got, err := asked.request()
	if err != nil {
		t.Fatal(err)
	}
	opts := cmp.Options{
		cmpopts.IgnoreFields(runner.Request{}, slices.Sorted(maps.Keys(notAsked))...),
		cmp.Comparer(func(a, b *regexp.Regexp) bool { return a.String() == b.String() }),
	}
	if diff := cmp.Diff(req, got, opts); diff != "" {
		t.Errorf("a request that was asked for (-want +got):\n%s", diff)
	}

	load := Asked{Load: &AskedLoad{Streams: []string{"a\xff"}, Labels: Labels{Sets: map[string][]string{"py": {"x", "y"}},
		Tags: []string{"x"}, Profile: "py"}}}
	if diff := cmp.Diff(load, echo(t, load)); diff != "" {
		t.Errorf("streams that are to be loaded (-want +got):\n%s", diff)
	}
}

// echo is what comes of something that is asked for at the other end of a socket.
func echo(t *testing.T, a Asked) (b Asked) {
	t.Helper()
	h := newHouse(t, batches)
	h.close()
	r, err := repo.Open(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := api.Serve(api.Config{Dir: h.dir, Queries: r, Handlers: map[string]http.Handler{
		"POST /v1/echo": http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			var got Asked
			if err := api.Body(w, req, &got); err != nil {
				t.Error(err)
			}
			api.Reply(w, got)
		})}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := api.Dial(t.Context(), h.dir)
	if err == nil {
		err = c.Call(t.Context(), http.MethodPost, "/v1/echo", a, &b)
		err = errors.Join(err, c.Close())
	}
	if err = errors.Join(err, s.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAskedPlan: a plan goes over as its text, and what is wrong with it is told.
func TestAskedPlan(t *testing.T) {
	a := Asked{Run: &AskedRun{Plan: &Plan{File: "p", Text: []byte(`{"version": 1, "segments": [{"rest": true}]}`)}}}
	if req, err := a.request(); err != nil || req.Segments == nil {
		t.Errorf("got %v, %v; want a plan", req.Segments, err)
	}
	if req, err := a.request(); err != nil || req.Environ == nil {
		t.Errorf("got the environment %v, %v of nobody; want an empty one, and not the daemon's", req.Environ, err)
	}
	a.Run.Plan.Text = []byte("{")
	if _, err := a.request(); err == nil {
		t.Error("got no error of half a plan")
	}
}

// TestAskedNonsense: what no client of ours asks for is refused, and does nobody any
// harm.
func TestAskedNonsense(t *testing.T) {
	h := newHouse(t, batches)
	c := h.client()
	for _, body := range []string{
		`null`, `{}`, `[]`, `{"run": 1}`, `{"run": {}, "load": {}}`, `{"load": {}}`, `{"load": {"streams": []}}`,
		`{"load": {"streams": ["x"]}, "detach": true}`,
		`{"run": {"select": {"Filters": [null]}}}`, `{"run": {"select": {"Filters": ["("]}}}`,
		`{"run": {"select": {"Partition": {"K": 3, "N": 2}}}}`, `{"run": {"select": {"Partition": {"K": 1, "N": -1}}}}`,
		`{"run": {"concurrency": -1}}`, `{"run": {"max_fail": -1}}`, `{"run": {"retries": -1}}`, `{"run": {"timeout": -1}}`,
	} {
		values, err := c.api.Values(t.Context(), http.MethodPost, pathJobs, json.RawMessage(body))
		if err == nil {
			t.Errorf("%s: got a job; want to be refused", body)
			_ = values.Close()
		}
	}
	for _, path := range []string{"x/cancel", "0/cancel", "99/cancel", "-1/cancel", "1/streams/0", "1/streams/x"} {
		if err := c.api.Call(t.Context(), http.MethodPost, pathJobs+"/"+path, cancelling{}, nil); err == nil {
			t.Errorf("%s: got no error", path)
		}
	}
	h.want(h.run(c, h.wanted("ann", "a"), Listener{}), "run 0: 1 passed, 0 failed, 0 not run, interrupted false, <nil>")
}
