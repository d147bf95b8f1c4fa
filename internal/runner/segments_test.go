package runner

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSegmentsErrors(t *testing.T) {
	tests := []struct {
		name string
		text string
		want string
	}{
		{"nothing", "", "p:1:1: it is no JSON: unexpected end of JSON input"},
		{"half", `{"version": 1,`, "p:1:14: it is no JSON: unexpected end of JSON input"},
		{"no JSON", "{\n  version", "p:2:3: it is no JSON: invalid character 'v' looking for beginning of object key string"},
		{"more than one", `{} {}`, "p:1:4: it is no JSON: invalid character '{' after top-level value"},
		{"no UTF-8", "{\"\xff\": 1}", "p:1:3: it is not UTF-8"},
		{"no object", "[]", "p:1:1: want a plan, an object"},
		{"empty", "{}", `p:1:1: "version": 1 is missing`},
		{"no version", `{"segments": [{"rest": true}]}`, `p:1:1: "version": 1 is missing`},
		{"later version", `{"version": 2}`, "p:1:13: the plan has version 2; this testr knows version 1"},
		{"version", `{"version": "1"}`, "p:1:13: want the version of the plan's form, a whole number from 1"},
		{"version twice", `{"version": 1, "version": 1}`, `p:1:16: the key "version" stands in a plan twice`},
		{"unknown key", "{\"version\": 1,\n \"ségment\": []}",
			`p:2:2: a plan has "version" and "segments", but no "ségment"`},
		{"no segments", `{"version": 1}`, "p:1:1: the plan has no segments"},
		{"empty segments", `{"version": 1, "segments": []}`, "p:1:1: the plan has no segments"},
		{"segments", `{"version": 1, "segments": {}}`, "p:1:28: want the segments, an array"},
		{"segment", segments(`1`), "p:2:1: want segment 1, an object"},
		{"empty segment", segments(`{}`), `p:2:1: segment 1: want one of "tests", "match" and "rest"`},
		{"concurrency alone", segments(`{"rest": true}`, `{"concurrency": 2}`),
			`p:3:1: segment 2: want one of "tests", "match" and "rest"`},
		{"two ways", segments(`{"rest": true, "match": "x"}`),
			`p:2:1: segment 1: want one of "tests", "match" and "rest", not "rest" and "match"`},
		{"unknown key of a segment", segments(`{"mach": "x"}`),
			`p:2:2: segment 1: a segment has "tests", "match" or "rest", and "concurrency", but no "mach"`},
		{"rest", segments(`{"rest": false}`), `p:2:10: segment 1: "rest" can only be true`},
		{"two rests", segments(`{"rest": true}`, `{"match": "x"}`, `{"rest": true}`),
			`p:4:1: segment 3: segment 1 has "rest" already`},
		{"concurrency", segments(`{"rest": true, "concurrency": 0}`),
			`p:2:31: want segment 1: "concurrency", a whole number from 1`},
		{"concurrency of a half", segments(`{"rest": true, "concurrency": 0.5}`),
			`p:2:31: want segment 1: "concurrency", a whole number from 1`},
		{"match", segments(`{"match": "("}`), "p:2:11: segment 1: \"match\": error parsing regexp: missing closing ): `(`"},
		{"match of something else", segments(`{"match": ["x"]}`), `p:2:11: want segment 1: "match", a string`},
		{"tests", segments(`{"tests": "x"}`), `p:2:11: want segment 1: "tests", an array`},
		{"test", segments(`{"tests": ["a", 7]}`), `p:2:17: want segment 1: an id of a test, a string`},
		{"empty id", segments(`{"tests": [""]}`), `p:2:12: segment 1: "" is no id of a test`},
		{"test twice", segments(`{"tests": ["a", "a"]}`), `p:2:17: segment 1: the test "a" stands in segment 1 already`},
		{"test in two", segments(`{"tests": ["é", "a"]}`, `{"tests": ["a"]}`),
			`p:3:12: segment 2: the test "a" stands in segment 1 already`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseSegments("p", []byte(test.text))
			var mistake *PlanError
			if !errors.As(err, &mistake) || err.Error() != test.want {
				t.Errorf("got %v; want %s", err, test.want)
			}
		})
	}
}

// segments is a plan of segments, each on a line of its own, from the second.
func segments(s ...string) string {
	return "{\"version\": 1, \"segments\": [\n" + strings.Join(s, ",\n") + "]}"
}

func TestAssign(t *testing.T) {
	all := []string{"a.one", "a.two", "b.one", "c.one"}
	tests := []struct {
		name  string
		plan  string
		tests []string
		whole []string
		want  map[string]int
		err   string
	}{
		{"the first that takes it",
			segments(`{"tests": ["a.two"]}`, `{"match": "^a"}`, `{"match": "two|b"}`, `{"rest": true}`),
			all, all, map[string]int{"a.two": 0, "a.one": 1, "b.one": 2, "c.one": 3}, ""},
		{"one that is named, by what stands before",
			segments(`{"match": "^a"}`, `{"tests": ["a.two", "b.one"]}`, `{"rest": true}`),
			all, all, map[string]int{"a.two": 0, "a.one": 0, "b.one": 1, "c.one": 2}, ""},
		{"the rest first", segments(`{"rest": true}`, `{"match": "^a"}`),
			all, all, map[string]int{"a.one": 1, "a.two": 1, "b.one": 0, "c.one": 0}, ""},
		{"what is selected only", segments(`{"match": "^a"}`, `{"tests": ["c.one"]}`),
			all[:1], all, map[string]int{"a.one": 0}, ""},
		{"what nobody takes", segments(`{"match": "x"}`), all, all, nil,
			`p: no segment takes "a.one", "a.two", "b.one" and 1 more`},
		{"what is no test", segments(`{"rest": true}`, `{"tests": ["b.one", "b.two", "b.three"]}`), all, all, nil,
			`p:3:21: segment 2 names what is no test: "b.two", "b.three"`},
		{"what is no test, as far as anybody knows", segments(`{"tests": ["b.two"]}`, `{"rest": true}`), all[:1], nil,
			map[string]int{"a.one": 1}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := ParseSegments("p", []byte(test.plan))
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.assign(test.tests, test.whole)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("segments differ (-want +got):\n%s", diff)
			}
			if test.err != "" && (err == nil || err.Error() != test.err) || test.err == "" && err != nil {
				t.Errorf("got %v; want %q", err, test.err)
			}
		})
	}
}

func TestPlanConcurrency(t *testing.T) {
	p, err := ParseSegments("p", []byte(segments(`{"match": "x"}`, `{"rest": true, "concurrency": 2}`)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 2}, p.concurrency()); diff != "" {
		t.Errorf("limits differ (-want +got):\n%s", diff)
	}
}

// FuzzParseSegments: whatever a plan has, it is refused at a place in the file, or
// takes every test exactly once, or says which it does not take.
func FuzzParseSegments(f *testing.F) {
	for _, s := range []string{
		segments(`{"tests": ["a.two"], "concurrency": 1}`, `{"match": "^a"}`, `{"rest": true}`),
		segments(`{"match": "("}`), segments(`{"rest": false}`), `{"version": 2}`, "{\n\n\"é\xff", "", "[]", "1e400",
	} {
		f.Add([]byte(s))
	}
	ids := []string{"a.one", "a.two", "", "b"}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseSegments("p", data)
		var mistake *PlanError
		switch {
		case err == nil:
		case !errors.As(err, &mistake) || mistake.Line < 1 || mistake.Column < 1:
			t.Fatalf("got %#v; want a mistake with its place", err)
		case mistake.Line > 1+strings.Count(string(data), "\n"):
			t.Fatalf("got %v in a file of fewer lines", err)
		default:
			return
		}
		got, err := p.assign(ids, nil)
		if (err == nil) != (len(got) == len(ids)) {
			t.Fatalf("got %v, %v; want a segment for each test, or an error", got, err)
		}
		for id, n := range got {
			if n < 0 || n >= len(p.concurrency()) {
				t.Errorf("got segment %d for %q; want one of %d", n, id, len(p.concurrency()))
			}
		}
	})
}
