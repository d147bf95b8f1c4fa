package runner

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/scheduler"
	"testr/internal/supervisor"
)

// TestArrange: an order that was asked for is kept by several workers, too, and
// a group that a plan tears apart is one for each segment.
func TestArrange(t *testing.T) {
	plan, err := ParseSegments("p", []byte(segments(`{"tests": ["a.two"], "concurrency": 1}`, `{"rest": true}`)))
	if err != nil {
		t.Fatal(err)
	}
	c := choice{tests: []string{"a.one", "a.two", "a.three", "b"}}
	c.whole = c.tests
	tests := []struct {
		name     string
		ask      func(*Request)
		order    scheduler.Order
		groups   []string
		segments []int
	}{
		{"nothing", func(*Request) {}, scheduler.LongestFirst, []string{"a", "a", "a", ""}, nil},
		{"random", func(r *Request) { r.Random = true }, scheduler.Listed, []string{"a", "a", "a", ""}, nil},
		{"like", func(r *Request) { r.Select.Like = &Like{} }, scheduler.Listed, []string{"a", "a", "a", ""}, nil},
		{"plan", func(r *Request) { r.Segments = plan }, scheduler.LongestFirst, []string{"a", "a", "a", ""},
			[]int{1, 0, 1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := newRequest(t, "test_command=x\nparallel_class=true\n", Selection{})
			test.ask(&req)
			s := sessionOf(t, req)
			var cfg supervisor.Config
			if err := s.arrange(&cfg, []choice{c}); err != nil {
				t.Fatal(err)
			}
			var groups []string
			var segments []int
			for _, id := range c.tests {
				groups = append(groups, cfg.Group(scheduler.Item{Test: id}))
				if cfg.Segment != nil {
					segments = append(segments, cfg.Segment(scheduler.Item{Test: id}))
				}
			}
			if cfg.Order != test.order {
				t.Errorf("got order %d; want %d", cfg.Order, test.order)
			}
			if diff := cmp.Diff(test.groups, groups); diff != "" {
				t.Errorf("groups differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.segments, segments); diff != "" {
				t.Errorf("segments differ (-want +got):\n%s", diff)
			}
		})
	}
	s := sessionOf(t, newRequest(t, "test_command=x\n", Selection{}))
	s.req.Segments = plan
	var mistake *PlanError
	if err := s.arrange(&supervisor.Config{}, []choice{{tests: c.tests, whole: c.tests[:1]}}); !errors.As(err, &mistake) {
		t.Errorf("got %v; want that the plan names what is no test", err)
	}
}

// TestLimits: options come before the configuration, be they nothing, and what
// runs everything at once can't run a test again.
func TestLimits(t *testing.T) {
	type limits struct {
		timeout, slow time.Duration
		retries       int
	}
	none, long, five := time.Duration(0), time.Hour, 5
	tests := []struct {
		name string
		conf string
		ask  func(*Request)
		mode mode
		want limits
	}{
		{"nothing", "", func(*Request) {}, modeBatch, limits{slow: time.Minute}},
		{"configured", "timeout=1\nslow=2\nretries=3\n", func(*Request) {}, modeStream,
			limits{time.Second, 2 * time.Second, 3}},
		{"asked for", "timeout=1\nslow=2\nretries=3\n", func(r *Request) {
			r.Timeout, r.Slow, r.Retries = &none, &long, &five
		}, modeBatch, limits{0, time.Hour, 5}},
		{"at once", "retries=3\n", func(*Request) {}, modeOnce, limits{slow: time.Minute}},
		{"as it is", "retries=3\n", func(*Request) {}, modePlain, limits{slow: time.Minute}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := sessionOf(t, newRequest(t, "test_command=x\n"+test.conf, Selection{}))
			test.ask(&s.req)
			p := s.profiles[0]
			p.mode = test.mode
			if got := p.limits(); test.want != (limits{got.Timeout, got.Slow, got.Retries}) {
				t.Errorf("got %+v; want %+v", got, test.want)
			}
		})
	}
}
