package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"0", 0, true},
		{"90", 90 * time.Second, true},
		{"1.5", 1500 * time.Millisecond, true},
		{"3s", 3 * time.Second, true},
		{"2m", 2 * time.Minute, true},
		{"1h30m", 90 * time.Minute, true},
		{"", 0, false},
		{".", 0, false},
		{"-1", 0, false},
		{"-1s", 0, false},
		{"1h30", 0, false},
		{"2 m", 0, false},
		{"2min", 0, false},
		{"1e3", 0, false},
		{strings.Repeat("9", 30), 0, false},
	}
	for _, test := range tests {
		got, err := ParseDuration(test.text)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: got %v, %v; want %v, ok %v", test.text, got, err, test.want, test.ok)
		}
		if err != nil && !errors.Is(err, errDuration) {
			t.Errorf("%q: got %v; want it to say what a length of time looks like", test.text, err)
		}
	}
}

func TestLimits(t *testing.T) {
	type limits struct {
		timeout, slow time.Duration
		retries       int
	}
	tests := []struct {
		text string
		want limits
	}{
		{"", limits{slow: time.Minute}},
		{"timeout=3s\nslow=2m\nretries=2\n", limits{3 * time.Second, 2 * time.Minute, 2}},
		{"timeout=90\nslow=0\nretries=0\n", limits{timeout: 90 * time.Second}},
		{"timeout=\nslow=\nretries=\n", limits{slow: time.Minute}},
	}
	for _, test := range tests {
		c, err := loadText(t, "[DEFAULT]\n"+test.text)
		if err != nil {
			t.Fatal(err)
		}
		p := c.Profiles[0]
		if got := (limits{p.Timeout, p.Slow, p.Retries}); got != test.want || len(c.Warnings) > 0 {
			t.Errorf("%q: got %+v, %v; want %+v", test.text, got, c.Warnings, test.want)
		}
	}
}

func TestParallelClass(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "true": true, "Yes": true, "ON": true, "1": true, "false": false, "no": false, "Off": false, "0": false,
	} {
		c, err := loadText(t, "[DEFAULT]\nparallel_class="+text+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if c.Profiles[0].ParallelClass != want || c.Profiles[0].Grouped() != want {
			t.Errorf("parallel_class=%s: got %v, grouped %v; want %v", text, c.Profiles[0].ParallelClass,
				c.Profiles[0].Grouped(), want)
		}
	}
	c, err := loadText(t, "[DEFAULT]\nparallel_class=true\ngroup_regex=.*\n")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"a.b.C.test_x":                   "a.b.C",
		"a.b.C.test_x(1.5)":              "a.b.C",
		"a.b.C.test_x[id-1.2,smoke]":     "a.b.C",
		"test_x":                         "",
		"":                               "",
		"[a.b]":                          "",
		"example.com/shop.TestAdd":       "example.com/shop",
		"tests/test_a.py::test_x":        "tests/test_a.py",
		"t/test_a.py::C::test_x":         "t/test_a.py::C",
		"t/test_a.py::C::test_x[a::b.c]": "t/test_a.py::C",
	} {
		if got := c.Profiles[0].Group(id); got != want {
			t.Errorf("class of %q: got %q; want %q", id, got, want)
		}
	}
}
