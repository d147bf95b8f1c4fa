package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

const (
	// maxReasons is how many reasons for the same thing the summary lists.
	maxReasons = 10
	// maxNamed is how many of the tests that something is said of it names.
	maxNamed = 3
)

// Summary is what is said at the end of a run.
type Summary struct {
	RunID    int
	Counts   event.Counts  // of the run that is over: Outcomes.Finish was called
	Duration time.Duration // zero means unknown
	// Tests are those of the run, as Outcomes.Tests has them. They tell which
	// never ended, which are flaky, which the filter tags leave out, and why some
	// did not run.
	Tests []*event.Test
	// Tally tells how many tests ran on which host; nil means that Tests are all of
	// the run.
	Tally *Tally
	// Profiles are the numbers of each profile, if there are several, or one that has a
	// name; "" is the default one.
	Profiles map[string]event.Counts
	// Previous is the run before; nil means that there is none to compare with.
	Previous *Previous
	// Notes are further facts, a line each, in testr's own words: what others
	// said has to be escaped in them, for a terminal.
	Notes []string
}

// Previous has the numbers of the run that this one is compared with.
type Previous struct {
	Counts   event.Counts
	Duration time.Duration // zero means unknown
}

// Summary shows the tests that never ended as failures, then, unless the
// options are Quiet, what else there is to say and the two lines that
// testrepository ends with. A delta of the tests compares all of them with all
// of the previous run, whatever FilterTags leave out of the number before it.
func (t *Text) Summary(s Summary) error {
	if err := t.clear(); err != nil {
		return err
	}
	for _, test := range s.Tests {
		if !test.Open {
			continue
		}
		a := t.files.take(test.Profile, test.Route, test.ID)
		if err := t.block(labelFail, nameOf(test), test.Route, test.Tags, a); err != nil {
			return err
		}
	}
	if t.opts.Quiet {
		return nil
	}
	t.buf = t.appendNotes(t.buf[:0], s)
	t.buf = t.appendTotals(t.buf, s)
	return t.put(t.w)
}

// appendTotals appends testrepository's two lines: pieces without a value are
// left out.
func (t *Text) appendTotals(dst []byte, s Summary) []byte {
	begin := len(dst)
	if n := ran(s.Counts) - filtered(s.Tests, t.opts.FilterTags); n != 0 {
		dst = fmt.Appendf(dst, "Ran %d", n)
		if s.Previous != nil {
			dst = appendDelta(dst, ran(s.Counts)-ran(s.Previous.Counts))
		}
		dst = append(dst, " tests"...)
	}
	if s.Duration != 0 {
		if len(dst) == begin {
			dst = append(dst, "Ran tests"...)
		}
		dst = fmt.Appendf(dst, " in %.3fs", s.Duration.Seconds())
		if p := s.Previous; p != nil && p.Duration != 0 && p.Duration != s.Duration {
			dst = fmt.Appendf(dst, " (%+.3fs)", (s.Duration - p.Duration).Seconds())
		}
	}
	if len(dst) > begin {
		dst = append(dst, '\n')
	}
	if s.Counts.Verdict() == event.Passed {
		dst = t.coloured(dst, colourGreen, "PASSED")
	} else {
		dst = t.coloured(dst, colourRed, "FAILED")
	}
	dst = fmt.Appendf(dst, " (id=%d", s.RunID)
	if n := s.Counts.Failed; n != 0 {
		dst = fmt.Appendf(dst, ", failures=%d", n)
		if s.Previous != nil {
			dst = appendDelta(dst, n-s.Previous.Counts.Failed)
		}
	}
	if n := s.Counts.Skipped; n != 0 {
		dst = fmt.Appendf(dst, ", skips=%d", n)
	}
	if n := s.Counts.Flaky; n != 0 {
		dst = fmt.Appendf(dst, ", flaky=%d", n)
	}
	return append(dst, ")\n"...)
}

// ran counts what never ended as well, as testrepository does.
func ran(c event.Counts) int { return c.Tests + c.InProgress }

func appendDelta(dst []byte, n int) []byte {
	if n == 0 {
		return dst
	}
	return fmt.Appendf(dst, " (%+d)", n)
}

// appendNotes appends what testrepository has no words for.
func (t *Text) appendNotes(dst []byte, s Summary) []byte {
	for _, detail := range t.interrupted {
		dst = append(dst, "Interrupted: "...)
		dst = append(t.quote.line(dst, detail), '\n')
	}
	note := func(n int, format, one, many string) {
		if n > 0 {
			dst = fmt.Appendf(dst, format+"\n", count(n, one, many))
		}
	}
	note(s.Counts.InProgress, "%s did not complete", "test", "tests")
	note(besideTests(s.Tests), "+%s beside the tests", "failure", "failures")
	note(s.Counts.UxSuccess, "%s", "unexpected success", "unexpected successes")
	if n := s.Counts.Flaky; n > 0 {
		dst = append(dst, count(n, "test", "tests")+" flaky"...)
		dst = append(t.appendNamed(dst, flaky(s)), '\n')
	}
	dst = t.appendMoved(dst)
	left := s.Counts.NotRun
	for _, r := range notRun(s.Tests) {
		dst = append(dst, count(r.total, "test", "tests")+" not run: "...)
		dst = t.quote.line(dst, r.reason)
		if !event.NotReached(r.reason) { // else which ones is chance
			dst = t.appendNamed(dst, r.named)
		}
		dst = append(dst, '\n')
		left -= r.total
	}
	note(left, "%s not run", "test", "tests")
	note(s.Counts.Unaccounted(), "%s unaccounted for: neither an outcome nor a reason for having none", "test", "tests")
	note(s.Counts.NotAsked, "+%s not asked for", "test", "tests")
	dst = t.appendProfiles(dst, s)
	dst = t.appendHosts(dst, s)
	for _, n := range s.Notes {
		dst = append(append(dst, n...), '\n')
	}
	return dst
}

// besideTests counts the failures of what is no test: of set-up, imports,
// streams, and parts of tests.
func besideTests(tests []*event.Test) (n int) {
	for _, t := range tests {
		if t.Failed() && !t.Asked && !t.Runnable {
			n++
		}
	}
	return n
}

// named is how many tests something is said of, and the first of them.
type named struct {
	total int
	first []name
}

func (n *named) add(of name) {
	n.total++
	if len(n.first) < maxNamed {
		n.first = append(n.first, of)
	}
}

// appendNamed appends the first tests of some in brackets, and how many there
// are besides.
func (t *Text) appendNamed(dst []byte, n named) []byte {
	if n.total == 0 {
		return dst
	}
	dst = append(dst, " ("...)
	for i, of := range n.first {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = t.name(dst, of)
	}
	if more := n.total - len(n.first); more > 0 {
		dst = fmt.Appendf(dst, " and %d more", more)
	}
	return append(dst, ')')
}

func flaky(s Summary) (n named) {
	for _, t := range s.Tests {
		if t.Flaky() && (t.Asked || s.Counts.Asked == 0 && t.Runnable) {
			n.add(nameOf(t))
		}
	}
	return n
}

type reason struct {
	named
	reason string
}

// notRun returns the most frequent reasons for which tests did not run.
func notRun(tests []*event.Test) []reason {
	byReason := map[string]*reason{}
	for _, test := range tests {
		if !test.DidNotRun() {
			continue
		}
		r := byReason[test.NotRun]
		if r == nil {
			r = &reason{reason: test.NotRun}
			byReason[test.NotRun] = r
		}
		r.add(nameOf(test))
	}
	reasons := make([]reason, 0, len(byReason))
	for _, r := range byReason {
		reasons = append(reasons, *r)
	}
	slices.SortFunc(reasons, func(a, b reason) int {
		return cmp.Or(cmp.Compare(b.total, a.total), strings.Compare(a.reason, b.reason))
	})
	return reasons[:min(len(reasons), maxReasons)]
}

// filtered returns how many of the counted tests have one of the tags and a
// good outcome.
func filtered(tests []*event.Test, tags []string) int {
	if len(tags) == 0 {
		return 0
	}
	asked := slices.ContainsFunc(tests, func(t *event.Test) bool { return t.Asked })
	n := 0
	for _, t := range tests {
		if (t.Asked || !asked && t.Runnable) && uncounted(t, tags) {
			n++
		}
	}
	return n
}

// uncounted says whether the test has one of the tags and a good outcome.
func uncounted(t *event.Test, tags []string) bool {
	return t.Status != protocol.StatusNone && !t.Failed() &&
		slices.ContainsFunc(t.Tags, func(tag string) bool { return slices.Contains(tags, tag) })
}
