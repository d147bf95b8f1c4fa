package runner

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Segments say which tests run after which, as --plan has it: each segment runs to
// its end before the next begins.
type Segments struct {
	name     string // of its file
	data     []byte // what stands there
	segments []segment
	listed   map[string]planned // the ids that stand in segments
	rest     int                // the segment that takes what no other does, or -1
}

// segment takes tests by one of its first three fields.
type segment struct {
	tests       []string
	match       *regexp.Regexp
	rest        bool
	concurrency int // 0: any number of workers
}

// planned is where a plan names a test.
type planned struct {
	segment int
	offset  int // of the id in the file
}

// PlanError is a mistake in a plan, or that it does not fit the tests.
type PlanError struct {
	File         string
	Line, Column int // from 1; 0 where the mistake has no place
	Msg          string
	Hint         string // what would be right; may be empty
}

// Error is the place and what is wrong there, without the hint.
func (e *PlanError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
}

// planError is a mistake at a place in a file.
func planError(file string, data []byte, offset int) *PlanError {
	before := data[:min(offset, len(data))]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return &PlanError{File: file, Line: 1 + bytes.Count(before, []byte("\n")), Column: 1 + utf8.RuneCount(line)}
}

// maxNamed is how many tests an error names.
const maxNamed = 3

// firstOf puts several ids into words.
func firstOf(ids []string) string {
	quoted := make([]string, 0, maxNamed)
	for _, id := range ids[:min(len(ids), maxNamed)] {
		quoted = append(quoted, fmt.Sprintf("%q", id))
	}
	s := strings.Join(quoted, ", ")
	if more := len(ids) - maxNamed; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// assign returns the segment of each test, by its number from 0. A test that no
// segment takes is an error, and so is one that the plan names and that is not
// in whole, everything that there is; nil means that nobody knows what there is.
func (p *Segments) assign(tests, whole []string) (map[string]int, error) {
	if whole != nil {
		if err := p.check(whole); err != nil {
			return nil, err
		}
	}
	segments := make(map[string]int, len(tests))
	var left []string
	for _, id := range tests {
		n := p.segment(id)
		if n < 0 {
			left = append(left, id)
		}
		segments[id] = n
	}
	if len(left) > 0 {
		return nil, &PlanError{File: p.name, Msg: fmt.Sprintf("no segment takes %s", firstOf(left)),
			Hint: `a segment {"rest": true} takes what no other one does`}
	}
	return segments, nil
}

// segment is the first segment that takes a test, or -1.
func (p *Segments) segment(id string) int {
	named, isNamed := p.listed[id]
	for i, s := range p.segments {
		if isNamed && named.segment == i || s.match != nil && s.match.MatchString(id) {
			return i
		}
	}
	return p.rest
}

// check wants every test that the plan names to be there.
func (p *Segments) check(whole []string) error {
	there := make(map[string]bool, len(whole))
	for _, id := range whole {
		there[id] = true
	}
	for i, s := range p.segments {
		var missing []string
		for _, id := range s.tests {
			if !there[id] {
				missing = append(missing, id)
			}
		}
		if len(missing) > 0 {
			err := planError(p.name, p.data, p.listed[missing[0]].offset)
			err.Msg = fmt.Sprintf("segment %d names what is no test: %s", i+1, firstOf(missing))
			err.Hint = "testr list-tests shows the ids"
			return err
		}
	}
	return nil
}

// concurrency is that of each segment.
func (p *Segments) concurrency() []int {
	limits := make([]int, len(p.segments))
	for i, s := range p.segments {
		limits[i] = s.concurrency
	}
	return limits
}
