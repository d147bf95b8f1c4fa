package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

// started is the start of a worker on a machine.
func started(route, host string) event.Event {
	return event.Event{Kind: event.KindWorkerStarted, Detail: event.Started{Host: host, Instance: "i", Route: route,
		PID: 77, Generation: 1}.String()}
}

// from is an event that came by a route.
func from(route string, e event.Event) event.Event {
	e.Packet.Has |= protocol.HasRoute
	e.Packet.Route = route
	return e
}

// head is a block of a test that has no files.
func head(lines ...string) string { return blockRule + strings.Join(lines, "\n") + "\n" + headerRule }

func TestHostOfRoute(t *testing.T) {
	p := places{home: "vm"}
	for _, e := range []event.Event{
		started("0", "vm"), started("1", "desktop"), started("1/0", "laptop"), started("1/0/1", "vm"), started("10", "ten"),
		started("2/1", "work"), started("3", ""),
		{Kind: event.KindWorkerStarted, Worker: 7, Detail: "host=old instance=local-1 pid=1 generation=1"},
		{Kind: event.KindWorkerStarted, Worker: 8, Detail: "host 1 0"},
		started("4", "first"), started("4", "second"), started("5", "first"), started("5", "vm"),
	} {
		p.started(e)
	}
	for _, c := range []struct {
		route, host, abroad string
		known               bool
	}{
		{"0", "vm", "", true}, {"0/5/1", "vm", "", true},
		{"1", "desktop", "desktop", true}, {"1/2", "desktop", "desktop", true},
		{"1/0", "laptop", "laptop", true}, {"1/0/0", "laptop", "laptop", true}, {"1/01", "desktop", "desktop", true},
		{"1/0/1", "vm", "", true}, {"1/0/1/x", "vm", "", true},
		{"10", "ten", "ten", true}, {"100", "", "", false}, {"2", "", "", false}, {"2/1", "work", "work", true},
		{"2/10", "", "", false}, {"3", "vm", "", true}, {"4", "second", "second", true}, {"5", "vm", "", true},
		{"7", "old", "old", true}, {"8", "", "", false}, {"", "", "", false}, {"/", "", "", false}, {"1/", "desktop",
			"desktop", true},
		{"1/" + strings.Repeat("x/", 1<<20), "desktop", "desktop", true}, {strings.Repeat("1", 1<<20), "", "", false},
	} {
		host, known := p.host(c.route)
		if host != c.host || known != c.known || p.abroad(c.route) != c.abroad {
			t.Errorf("%.20q: got %q, %v, abroad %q; want %q, %v, %q", c.route, host, known, p.abroad(c.route), c.host, c.known,
				c.abroad)
		}
	}
}

// The longest route that a slot may have is known; so is what comes behind it.
func TestLongestRoute(t *testing.T) {
	p := places{}
	long := strings.Repeat("é", 1000)
	p.started(started(long, "desktop"))
	stored, _ := event.ParseStarted(started(long, "desktop").Detail)
	if len(stored.Route) >= maxRoute {
		t.Fatalf("got a route of %d octets; want less than %d", len(stored.Route), maxRoute)
	}
	for _, route := range []string{stored.Route, stored.Route + "/1", stored.Route + "/" + long} {
		if host, _ := p.host(route); host != "desktop" {
			t.Errorf("%d octets: got %q; want desktop", len(route), host)
		}
	}
}

// A run with more slots than there can be doesn't fill the memory.
func TestPlacesBounded(t *testing.T) {
	p := places{}
	for i := range 3 * maxPlaces {
		p.started(started(fmt.Sprint(i), fmt.Sprint("host", i)))
	}
	if len(p.hosts) != maxPlaces {
		t.Errorf("got %d routes; want %d", len(p.hosts), maxPlaces)
	}
	p.started(started("0", "moved"))
	if host, _ := p.host("0"); host != "moved" {
		t.Errorf("got %q for a route that was known; want its new host", host)
	}
}

// hostTests are runs, with all that is shown of them.
var hostTests = []struct {
	name   string
	opts   TextOptions
	events []event.Event
	want   string
}{
	{"all on this machine", TextOptions{Host: "vm"}, []event.Event{started("0", "vm"), started("1", ""),
		from("0", outcome("a", protocol.StatusFail)), from("1", outcome("b", protocol.StatusSuccess))},
		head("FAIL: a") + "Ran 2 tests\nFAILED (id=0, failures=1)\n"},
	{"on others", TextOptions{Host: "vm"}, []event.Event{started("0", "vm"), started("1/0", "desktop"), started("2",
		"laptop"),
		from("0", outcome("a", protocol.StatusFail)), from("1/0", outcome("b", protocol.StatusFail, "x", "worker-1-0")),
		from("1/0/3", outcome("c", protocol.StatusSuccess)), from("2", outcome("d", protocol.StatusUxSuccess))},
		head("FAIL: a") + head("FAIL: b", "tags: x worker-1-0", "host: desktop") +
			head("UNEXPECTED SUCCESS: d", "host: laptop") + "1 unexpected success\n" +
			"Tests by host: desktop 2, laptop 1, this machine (vm) 1\nRan 4 tests\nFAILED (id=0, failures=3)\n"},
	{"nothing ran there", TextOptions{Host: "vm"}, []event.Event{started("0", "vm"), started("1", "desktop"),
		from("0", outcome("a", protocol.StatusSuccess))}, "Ran 1 tests\nPASSED (id=0)\n"},
	{"all on one other, and a fixture", TextOptions{Host: "vm"}, []event.Event{started("0", "desktop"),
		from("0", packet(protocol.Packet{TestID: "setUpClass (m.X)", Status: protocol.StatusSuccess})),
		from("0", outcome("a", protocol.StatusSuccess))}, "Tests by host: desktop 1\nRan 1 tests\nPASSED (id=0)\n"},
	{"once on another machine", TextOptions{Host: "vm", Elsewhere: true}, []event.Event{started("0", "vm"), started("1",
		"desktop"),
		from("0", outcome("a", protocol.StatusFail)), from("1", outcome("b", protocol.StatusSuccess))},
		head("FAIL: a") + "Tests by host: desktop 1, vm 1\nRan 2 tests\nFAILED (id=0, failures=1)\n"},
	{"machines without names", TextOptions{}, []event.Event{started("0", ""), started("1", "desktop"),
		from("0", outcome("a", protocol.StatusFail)), from("1", outcome("b", protocol.StatusSuccess)),
		from("7", outcome("c", protocol.StatusSuccess)), from("8/1", outcome("d", protocol.StatusSuccess))},
		head("FAIL: a") + "Tests by host: this machine 1, desktop 1, not known where 2\n" +
			"Ran 4 tests\nFAILED (id=0, failures=1)\n"},
	{"tried again elsewhere", TextOptions{Host: "vm"}, []event.Event{started("0", "vm"), started("1", "desktop"),
		from("1", outcome("a", protocol.StatusFail)), from("0", outcome("a", protocol.StatusFail, event.AttemptTag(2))),
		from("1", outcome("a", protocol.StatusSuccess, event.AttemptTag(3))), from("1", outcome("b",
			protocol.StatusFail)), from("0", outcome("b", protocol.StatusSuccess, event.AttemptTag(2)))},
		head("FAIL: a", "host: desktop") + head("FAIL: a", "tags: attempt-2") +
			"FLAKY: a (passed at attempt 3)\n" + head("FAIL: b", "host: desktop") +
			"FLAKY: b (passed at attempt 2)\n2 tests flaky (a, b)\nTests by host: desktop 1, this machine (vm) 1\n" +
			"Ran 2 tests\nPASSED (id=0, flaky=2)\n"},
	{"a slot that moved", TextOptions{Host: "vm"}, []event.Event{started("0", "desktop"),
		from("0", outcome("a", protocol.StatusFail)), started("0", "laptop"), from("0", outcome("b", protocol.StatusFail))},
		head("FAIL: a", "host: desktop") + head("FAIL: b", "host: laptop") +
			"Tests by host: laptop 2\nRan 2 tests\nFAILED (id=0, failures=2)\n"},
	{"never ended", TextOptions{Host: "vm"}, []event.Event{started("3", "desktop"),
		from("3", outcome("a", protocol.StatusInProgress))},
		head("FAIL: a", "host: desktop") + "1 test did not complete\nTests by host: desktop 1\n" +
			"Ran 1 tests\nFAILED (id=0, failures=1)\n"},
	{"only what was asked for, and ran, and is not left out", TextOptions{Host: "vm", FilterTags: []string{"layer"}},
		[]event.Event{{Kind: event.KindAsked, Tests: []string{"a", "b", "c", "d"}}, started("0", "desktop"),
			from("0", outcome("a", protocol.StatusSuccess)), from("0", outcome("b", protocol.StatusSuccess, "layer")),
			from("0", outcome("extra", protocol.StatusSuccess)), from("0", outcome("c", protocol.StatusSkip)),
			{Kind: event.KindNotRun, Tests: []string{"d"}, Detail: "lost"}},
		"1 test not run: lost (d)\n+1 test not asked for\nTests by host: desktop 2\nRan 2 tests\nFAILED (id=0, skips=1)\n"},
	{"hostile", TextOptions{Host: "v\x1bm", Terminal: true}, []event.Event{started("0", "\x1b[2J\n"), started("1",
		"v\x1bm"),
		from("0", outcome("a", protocol.StatusFail)), from("1", outcome("b", protocol.StatusSuccess))},
		head("FAIL: a", `host: \x1b[2J\n`) +
			`Tests by host: \x1b[2J\n 1, this machine (v\x1bm) 1` + "\nRan 2 tests\nFAILED (id=0, failures=1)\n"},
	{"as they are", TextOptions{Host: "vm"}, []event.Event{started("0", "bü ro"), from("0", outcome("a",
		protocol.StatusFail))}, head("FAIL: a", "host: bü ro") +
		"Tests by host: bü ro 1\nRan 1 tests\nFAILED (id=0, failures=1)\n"},
	{"quiet", TextOptions{Host: "vm", Quiet: true}, []event.Event{started("0", "desktop"), from("0", outcome("a",
		protocol.StatusFail))}, head("FAIL: a", "host: desktop")},
}

func TestHosts(t *testing.T) {
	for _, test := range hostTests {
		t.Run(test.name, func(t *testing.T) {
			got := showRun(t, test.events, test.opts, Summary{})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The summary names the busiest hosts, and of a tally counts what that has.
func TestManyHosts(t *testing.T) {
	text := NewText(&bytes.Buffer{}, TextOptions{Host: "vm"})
	tally := Tally{Others: map[string]int{}}
	for i := range 14 {
		route := fmt.Sprint(i)
		show(t, text, started(route, fmt.Sprintf("h%02d", i)))
		tally.Others[route] = 1 + i/2
	}
	var out bytes.Buffer
	text.w = &out
	s := Summary{Tally: &tally, Tests: []*event.Test{{Route: "0", Asked: true, NotRun: "lost"}}}
	if err := text.Summary(s); err != nil {
		t.Fatal(err)
	}
	const want = "Tests by host: h12 7, h13 7, h10 6, h11 6, h08 5, h09 5, h06 4, h07 4, h04 3, h05 3 and 4 more\n"
	if !strings.Contains(out.String(), want) {
		t.Errorf("got %q; want %q in it", out.String(), want)
	}
}

// TestGoldenHosts shows a recorded stream as if it had come from another machine:
// but for that, all is as in the golden file of one.
func TestGoldenHosts(t *testing.T) {
	events := append([]event.Event{started("0", "desktop")}, readStream(t, "testdata/sample.subunit", "worker-0")...)
	checkGolden(t, "testdata/sample.hosts.golden", showRun(t, events, TextOptions{Host: "vm"}, Summary{}))
	here := showRun(t, events[1:], TextOptions{}, Summary{})
	events[0] = started("0", "vm")
	if diff := cmp.Diff(here, showRun(t, events, TextOptions{Host: "vm"}, Summary{})); diff != "" {
		t.Errorf("on the supervisor's machine (-want +got):\n%s", diff)
	}
}

// BenchmarkStarted is what a start costs whoever shows the run: --isolated has
// one a test.
func BenchmarkStarted(b *testing.B) {
	p := places{home: "vm"}
	e := started("3", "desktop.example.org")
	b.ReportAllocs()
	for b.Loop() {
		p.started(e)
	}
}
