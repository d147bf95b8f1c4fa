package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseSegments reads a plan. What is wrong with it is a *PlanError; name is that of
// its file.
//
//	{"version": 1, "segments": [
//	  {"tests": ["a.test_alone"], "concurrency": 1},
//	  {"match": "^a\\.tempest\\."},
//	  {"rest": true}]}
func ParseSegments(name string, data []byte) (*Segments, error) {
	r := planReader{name: name, data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	r.syntax()
	p := r.plan()
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

// planReader walks through the tokens of a plan. After the first mistake it
// does nothing any more.
type planReader struct {
	name string
	data []byte
	dec  *json.Decoder
	err  *PlanError
}

// syntax checks that the text is JSON, so that what reads it has only to look
// at what it says.
func (r *planReader) syntax() {
	for at := 0; at < len(r.data); {
		c, n := utf8.DecodeRune(r.data[at:])
		if c == utf8.RuneError && n == 1 {
			r.fail(at, "it is not UTF-8")
			return
		}
		at += n
	}
	var whole json.RawMessage
	err := json.Unmarshal(r.data, &whole)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		r.fail(max(int(syntax.Offset)-1, 0), "it is no JSON: %v", err)
	}
}

// fail notes a mistake at a place, if it is the first.
func (r *planReader) fail(offset int, format string, args ...any) {
	if r.err == nil {
		r.err = planError(r.name, r.data, offset)
		r.err.Msg = fmt.Sprintf(format, args...)
	}
}

// token returns the next token and where it begins; nil after a mistake.
func (r *planReader) token() (json.Token, int) {
	at := int(r.dec.InputOffset())
	for at < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[at]) >= 0 {
		at++
	}
	if r.err != nil {
		return nil, at
	}
	t, err := r.dec.Token()
	if err != nil {
		r.fail(at, "it is no JSON: %v", err)
		return nil, at
	}
	return t, at
}

// object reads an object and calls member at each of its values, with its key.
func (r *planReader) object(what string, member func(key string, at int)) (at int) {
	t, at := r.token()
	if t != json.Delim('{') {
		r.fail(at, "want %s, an object", what)
	}
	seen := map[string]bool{}
	for r.err == nil && r.dec.More() {
		key, at := r.token()
		k, _ := key.(string)
		if seen[k] {
			r.fail(at, "the key %q stands in %s twice", k, what)
			break
		}
		seen[k] = true
		member(k, at)
	}
	r.token()
	return at
}

// array reads an array and calls element at each of its values.
func (r *planReader) array(what string, element func()) (at int) {
	t, at := r.token()
	if t != json.Delim('[') {
		r.fail(at, "want %s, an array", what)
	}
	for r.err == nil && r.dec.More() {
		element()
	}
	r.token()
	return at
}

func (r *planReader) text(what string) (s string, at int) {
	t, at := r.token()
	s, ok := t.(string)
	if !ok {
		r.fail(at, "want %s, a string", what)
	}
	return s, at
}

// number reads a whole number that is 1 or more.
func (r *planReader) number(what string) (n, at int) {
	t, at := r.token()
	text, _ := t.(json.Number)
	n, err := strconv.Atoi(text.String())
	if err != nil || n < 1 {
		r.fail(at, "want %s, a whole number from 1", what)
	}
	return n, at
}

func (r *planReader) plan() *Segments {
	p := &Segments{name: r.name, data: r.data, listed: map[string]planned{}, rest: -1}
	version := 0
	at := r.object("a plan", func(key string, at int) {
		switch key {
		case "version":
			if version, at = r.number("the version of the plan's form"); version != 1 {
				r.fail(at, "the plan has version %d; this testr knows version 1", version)
			}
		case "segments":
			r.array("the segments", func() { r.segment(p) })
		default:
			r.fail(at, `a plan has "version" and "segments", but no %q`, key)
		}
	})
	switch {
	case version == 0:
		r.fail(at, `"version": 1 is missing`)
	case len(p.segments) == 0:
		r.fail(at, "the plan has no segments")
	}
	return p
}

func (r *planReader) segment(p *Segments) {
	var s segment
	var ways []string
	index := len(p.segments)
	what := fmt.Sprintf("segment %d", index+1)
	at := r.object(what, func(key string, at int) {
		if key != "concurrency" {
			ways = append(ways, fmt.Sprintf("%q", key))
		}
		switch key {
		case "tests":
			r.array(what+`: "tests"`, func() { s.tests = append(s.tests, r.test(p, index)) })
		case "match":
			s.match = r.regexp(what + `: "match"`)
		case "rest":
			if t, at := r.token(); t != true {
				r.fail(at, `%s: "rest" can only be true`, what)
			}
			s.rest = true
		case "concurrency":
			s.concurrency, _ = r.number(what + `: "concurrency"`)
		default:
			r.fail(at, `%s: a segment has "tests", "match" or "rest", and "concurrency", but no %q`, what, key)
		}
	})
	switch {
	case len(ways) == 0:
		r.fail(at, `%s: want one of "tests", "match" and "rest"`, what)
	case len(ways) > 1:
		r.fail(at, `%s: want one of "tests", "match" and "rest", not %s`, what, strings.Join(ways, " and "))
	case s.rest && p.rest >= 0:
		r.fail(at, `%s: segment %d has "rest" already`, what, p.rest+1)
	}
	if s.rest {
		p.rest = index
	}
	p.segments = append(p.segments, s)
}

// test reads an id that a segment names.
func (r *planReader) test(p *Segments, segment int) string {
	id, at := r.text(fmt.Sprintf("segment %d: an id of a test", segment+1))
	if id == "" || strings.Contains(id, "\x00") {
		r.fail(at, "segment %d: %q is no id of a test", segment+1, id)
	}
	if old, ok := p.listed[id]; ok {
		r.fail(at, "segment %d: the test %q stands in segment %d already", segment+1, id, old.segment+1)
	}
	p.listed[id] = planned{segment: segment, offset: at}
	return id
}

func (r *planReader) regexp(what string) *regexp.Regexp {
	text, at := r.text(what)
	if r.err != nil {
		return nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		r.fail(at, "%s: %v", what, err)
	}
	return re
}
