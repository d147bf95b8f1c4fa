package event

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStarted(t *testing.T) {
	for _, c := range []struct {
		name   string
		s      Started
		detail string
	}{
		{"as a rule", Started{Host: "desktop.example", Instance: "desktop", Route: "1/0", PID: 77, Generation: 2},
			"host=desktop.example instance=desktop pid=77 generation=2 route=1/0"},
		{"of an old run", Started{Host: "vm", Instance: "local-3", PID: 12, Generation: 1},
			"host=vm instance=local-3 pid=12 generation=1"},
		{"nothing known", Started{}, `host="" instance="" generation=0`},
		{"no process number", Started{Host: "vm", Instance: "i", Route: "0", Generation: 1},
			"host=vm instance=i generation=1 route=0"},
		{"not plain", Started{Host: "my mac", Instance: `a"b`, Route: "1=2"},
			`host="my mac" instance="a\"b" generation=0 route="1=2"`},
		{"control characters", Started{Host: "a\nb", Instance: "\x1b[2J", Route: "\\'`"},
			`host="a\nb" instance="\x1b[2J" generation=0 route="\\'` + "`" + `"`},
		{"like other words", Started{Host: "a generation=9", Instance: "b\tpid=3", Route: "'"},
			`host="a generation=9" instance="b\tpid=3" generation=0 route="'"`},
		{"beyond ASCII", Started{Host: "büro", Instance: "\xff", Route: "\u202e\u00a0"},
			`host=büro instance="\xff" generation=0 route="\u202e\u00a0"`},
		{"as long as can be", Started{Host: strings.Repeat("\xff", maxPlace), Instance: strings.Repeat("\xff", maxPlace),
			Route: strings.Repeat("\xff", maxPlace), PID: 1 << 40, Generation: -1 << 40},
			`host="` + strings.Repeat(`\xff`, maxPlace) + `" instance="` + strings.Repeat(`\xff`, maxPlace) +
				`" pid=1099511627776 generation=-1099511627776 route="` + strings.Repeat(`\xff`, maxPlace) + `"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.s.String(); got != c.detail {
				t.Errorf("got %q; want %q", got, c.detail)
			}
			if got, ok := ParseStarted(c.detail); got != c.s || !ok {
				t.Errorf("back: got %+v, %v; want %+v", got, ok, c.s)
			}
		})
	}
}

func TestParseStarted(t *testing.T) {
	long := strings.Repeat("x", maxPlace+len("…")+1)
	for _, c := range []struct {
		detail string
		want   Started
		ok     bool
	}{
		{"host=a=b instance= generation=1", Started{Host: "a=b", Generation: 1}, true}, // as they once were written
		{"host=a later=1 than=\"th at\" route=3", Started{Host: "a", Route: "3"}, true},
		{"", Started{}, false},
		{"host 1 0", Started{}, false},
		{"instance=a generation=1", Started{}, false},
		{"host=a host=b", Started{}, false},
		{"host=a pid=x", Started{}, false},
		{"host=a pid=", Started{}, false},
		{"host=a pid=99999999999999999999", Started{}, false},
		{`host="a`, Started{}, false},
		{`host="a"b`, Started{}, false},
		{`host="\q"`, Started{}, false},
		{"host=a =b", Started{}, false},
		{"host=a odd word=b", Started{}, false},
		{"host=" + long, Started{}, false},
		{"host=a route=" + long, Started{}, false},
		{"host=a x=" + strings.Repeat("x", maxStarted), Started{}, false},
	} {
		got, ok := ParseStarted(c.detail)
		if !c.ok {
			c.want = got
		}
		if got != c.want || ok != c.ok {
			t.Errorf("ParseStarted(%.80q): got %+v, %v; want %+v, %v", c.detail, got, ok, c.want, c.ok)
		}
	}
}

// A detail never gets longer than what is read again.
func TestStartedBounded(t *testing.T) {
	endless := strings.Repeat("é\x00", 1<<20)
	detail := Started{Host: endless, Instance: endless, Route: endless}.String()
	got, ok := ParseStarted(detail)
	if len(detail) > maxStarted || !ok {
		t.Fatalf("got %d octets, %v; want some that can be read", len(detail), ok)
	}
	for _, text := range []string{got.Host, got.Instance, got.Route} {
		if !strings.HasSuffix(text, "…") || len(text) > maxPlace+len("…") || !utf8.ValidString(text) {
			t.Errorf("got %q; want the beginning", text)
		}
	}
}

func FuzzStarted(f *testing.F) {
	f.Add("desktop.example", "desktop", "1/0", 77, 1)
	f.Add("my mac", `"`, "=", 0, 0)
	f.Add("a\nb", "\xff\u202e", "'\\`", -1, -1)
	f.Fuzz(func(t *testing.T, host, instance, route string, pid, generation int) {
		s := Started{host, instance, route, pid, generation}
		detail := s.String()
		got, ok := ParseStarted(detail)
		s.Host, s.Instance, s.Route = kept(host, maxPlace), kept(instance, maxPlace), kept(route, maxPlace)
		if got != s || !ok || len(detail) > maxStarted {
			t.Errorf("%q: got %+v, %v; want %+v", detail, got, ok, s)
		}
		for _, r := range detail {
			if r < ' ' || r == 0x7f {
				t.Errorf("%q has a control character", detail)
			}
		}
	})
}

func FuzzParseStarted(f *testing.F) {
	f.Add("host=vm instance=local-3 pid=12 generation=1")
	f.Add(`host="my mac" instance="" generation=0 route="1=2" x="y z"`)
	f.Fuzz(func(t *testing.T, detail string) {
		s, ok := ParseStarted(detail)
		if !ok {
			return
		}
		cut := s
		cut.Host, cut.Instance, cut.Route = kept(s.Host, maxPlace), kept(s.Instance, maxPlace), kept(s.Route, maxPlace)
		if got, ok := ParseStarted(s.String()); got != cut || !ok {
			t.Errorf("%q: got %+v, %v; want %+v", detail, got, ok, cut)
		}
	})
}
