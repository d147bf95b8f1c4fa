package scheduler

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// orderTest is a listing and what the workers, asking in turn, get of it.
type orderTest struct {
	name string
	// add is ids in listing order. "id=30ms" has a known length, "group:id" a
	// group; "%d" is the place.
	add string
	// learn is ids that another worker is given before, with the time that
	// they take; known is what was known of those.
	learn, known string
	order        Order
	// workers ask in this order, again and again; nil means worker 0 alone.
	workers []int
	want    string
}

var orderTests = []orderTest{
	{
		name: "the longest known first",
		add:  "a.A.1=10ms b.B.1=300ms c.C.1=20ms d.D.1=200ms",
		want: "b.B.1 d.D.1 c.C.1 a.A.1",
	},
	{
		name: "nothing known: as listed",
		add:  "a.A.1 a.A.2 b.B.1 b.B.2 c.C.1",
		want: "a.A.1 a.A.2 b.B.1 b.B.2 c.C.1",
	},
	{
		name: "a class stays together where the listing mixes equals",
		add:  "a.A.1 b.B.1 a.A.2 b.B.2",
		want: "a.A.1 a.A.2 b.B.1 b.B.2",
	},
	{
		name:    "workers set up different classes, then help out",
		add:     "a.A.1 a.A.2 a.A.3 a.A.4 b.B.1",
		workers: []int{0, 1},
		want:    "a.A.1 b.B.1 a.A.2 a.A.3 a.A.4",
	},
	{
		name: "a worker's class goes before what is hardly longer",
		add:  "a.A.1=400ms b.B.1=390ms a.A.2=300ms",
		want: "a.A.1 a.A.2 b.B.1",
	},
	{
		name: "but not before what is longer",
		add:  "a.A.1=400ms b.B.1=390ms a.A.2=290ms",
		want: "a.A.1 b.B.1 a.A.2",
	},
	{
		name: "the order among short ones is worth no fixture",
		add:  "a.A.1=6ms b.B.1=5ms a.A.2=1ms",
		want: "a.A.1 a.A.2 b.B.1",
	},
	{
		name: "tests that take about as long stay as listed",
		add:  "a.A.1=1ms a.A.2=9ms a.A.3=2ms a.A.4=15ms a.A.5=40ms",
		want: "a.A.5 a.A.1 a.A.2 a.A.3 a.A.4",
	},
	{
		name: "a class that was set up before, where nothing is much longer",
		add:  "a.A.1=400ms b.B.1=390ms a.A.2=250ms b.B.2=250ms c.C.1=260ms b.B.3=250ms",
		want: "a.A.1 b.B.1 b.B.2 b.B.3 a.A.2 c.C.1",
	},
	{
		name:    "new classes of a module that was imported, where nobody is",
		add:     "a.A.1=400ms b.B.1=400ms b.C.1=390ms a.C.1=390ms a.D.1=390ms b.D.1=390ms",
		workers: []int{0, 1},
		want:    "a.A.1 b.B.1 a.C.1 b.C.1 a.D.1 b.D.1",
	},
	{
		name: "an imported module that was left before",
		add:  "a.A.1=10s c.A.1=5s d.B.1=1100ms a.B.1=1s",
		want: "a.A.1 c.A.1 a.B.1 d.B.1",
	},
	{
		name: "with much left, the own class to its end",
		add:  "a.A.1=400ms a.A.2=20ms" + strings.Repeat(" b.B.%d=390ms", 40),
		want: "a.A.1 a.A.2" + strings.Repeat(" b.B.%d", 40),
	},
	{
		name: "an unknown one goes by its class",
		add:  "a.A.1=10ms a.A.2 b.B.1=300ms b.B.2 c.C.1=100ms",
		want: "b.B.1 b.B.2 c.C.1 a.A.1 a.A.2",
	},
	{
		name: "else by its module, and rather early, to find out",
		add:  "a.A.1=10ms b.B.1=300ms c.C.1=100ms a.X.1 b.X.1",
		want: "b.X.1 b.B.1 a.X.1 c.C.1 a.A.1",
	},
	{
		name: "else by the mean of all",
		add:  "x.X.1 a.A.1=100ms b.B.1=5s",
		want: "x.X.1 b.B.1 a.A.1",
	},
	{
		name:  "what this run measures is learned",
		learn: "a.A.1=10ms b.B.1=300ms c.C.1=100ms",
		add:   "a.A.2 b.B.2 c.C.2",
		want:  "b.B.2 c.C.2 a.A.2",
	},
	{
		name:  "it takes the place of what was known",
		known: "a.A.1=300ms",
		learn: "a.A.1=10ms",
		add:   "a.A.2 b.B.1=200ms",
		want:  "b.B.1 a.A.2",
	},
	{
		name:  "of a module too",
		learn: "a.A.1=10ms b.B.1=300ms",
		add:   "a.X.1 b.X.1",
		want:  "b.X.1 a.X.1",
	},
	{
		name:  "the first outcomes count at once, however many wait to go by them",
		learn: "a.A.1=10ms b.B.1=300ms",
		add:   "a.X.1 c.1.1 c.2.1 c.3.1 c.4.1 c.5.1 c.6.1 c.7.1 c.8.1 c.9.1 b.X.1",
		want:  "b.X.1 c.1.1 c.2.1 c.3.1 c.4.1 c.5.1 c.6.1 c.7.1 c.8.1 c.9.1 a.X.1",
	},
	{
		name: "a group counts as the sum of its tests and runs as listed",
		add:  "g:a.A.1=20ms b.B.1=100ms g:c.C.1=50ms g:d.D.1=40ms",
		want: "a.A.1 c.C.1 d.D.1 b.B.1",
	},
	{
		name: "a group's unknown tests count",
		add:  "a.A.1=80ms a.A.2=80ms g:a.A.3 g:a.A.4 c.C.1=200ms",
		want: "c.C.1 a.A.3 a.A.4 a.A.1 a.A.2",
	},
	{
		name:    "a group stays with its worker",
		add:     "g:a.A.1=90ms g:a.A.2=90ms g:a.A.3=90ms b.B.1=90ms",
		workers: []int{0, 1},
		want:    "a.A.1 b.B.1 a.A.2 a.A.3",
	},
	{
		name:  "a group is estimated anew when more is known",
		learn: "a.A.3=50ms",
		add:   "g:a.A.1 g:a.A.2 b.B.1=150ms c.C.1=90ms",
		want:  "b.B.1 a.A.1 a.A.2 c.C.1",
	},
	{
		name:  "listed order",
		add:   "a.A.1=10ms b.B.1=300ms g:c.C.1=20ms a.A.2=200ms g:d.D.1",
		order: Listed,
		want:  "a.A.1 b.B.1 c.C.1 d.D.1 a.A.2",
	},
	{
		name: "ids without dots are one class",
		add:  "b a ...=20ms c=10ms",
		want: "... b a c",
	},
}

// TestOrder proves each rule of the order by the whole order that comes of it.
func TestOrder(t *testing.T) {
	for _, tt := range orderTests {
		t.Run(tt.name, func(t *testing.T) {
			if len(tt.workers) == 0 {
				tt.workers = []int{0}
			}
			learn, listing := newListing(t, tt.learn), newListing(t, tt.add)
			lengths := maps.Clone(listing.lengths)
			if tt.known != "" {
				maps.Copy(lengths, newListing(t, tt.known).lengths)
			}
			learner := len(tt.workers)
			q := New(Options{
				Workers: learner + 1,
				Order:   tt.order,
				Group:   func(it Item) string { return listing.groups[it] },
				Estimate: func(it Item) (time.Duration, bool) {
					d, ok := lengths[it]
					return d, ok
				},
			})
			// The learner gets its tests before the others are there, and
			// finishes them when those wait already.
			q.Add(learn.items...)
			for w := range learner {
				q.Lost(w, start) // or it would get some of them
			}
			q.Next(learner, start, Limit{Items: len(learn.items)})
			q.Add(listing.items...)
			for _, it := range learn.items {
				q.Started(learner, it, start)
				q.Finished(learner, it, start.Add(learn.lengths[it]))
			}
			q.Lost(learner, start)
			if diff := cmp.Diff(wanted(tt.want), popAll(q, tt.workers)); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

// wanted returns the ids of a table, each "%d" as its place.
func wanted(text string) []string {
	ids := strings.Fields(text)
	for n := range ids {
		ids[n] = strings.Replace(ids[n], "%d", strconv.Itoa(n), 1)
	}
	return ids
}

var start = time.Unix(1e9, 0)

// popAll has the workers ask in turn until none gets anything, and returns what
// they got. Each has finished its item when the next one asks, without a word of
// how long it took.
func popAll(q *Queue, workers []int) (ids []string) {
	for got := true; got; {
		got = false
		for _, w := range workers {
			items, _ := q.Next(w, start, Limit{Items: 1})
			for _, it := range items {
				got = true
				ids = append(ids, it.Test)
				q.Finished(w, it, start)
			}
		}
	}
	return ids
}

// listing is tests in the notation of the tables.
type listing struct {
	items   []Item
	groups  map[Item]string
	lengths map[Item]time.Duration
}

func newListing(t *testing.T, text string) listing {
	t.Helper()
	l := listing{groups: make(map[Item]string), lengths: make(map[Item]time.Duration)}
	for n, field := range strings.Fields(text) {
		field = strings.Replace(field, "%d", strconv.Itoa(n), 1)
		group, rest, ok := strings.Cut(field, ":")
		if !ok {
			group, rest = "", field
		}
		id, took, ok := strings.Cut(rest, "=")
		it := Item{Test: id}
		if ok {
			d, err := time.ParseDuration(took)
			if err != nil {
				t.Fatalf("listing: %v", err)
			}
			l.lengths[it] = d
		}
		l.items = append(l.items, it)
		l.groups[it] = group
	}
	return l
}
