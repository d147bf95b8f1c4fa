package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"testr/internal/protocol"
)

const (
	// checkProbes is how many listed tests are tried for their speed.
	checkProbes = 6
	// checkUnknown is an id that no worker knows.
	checkUnknown = "testr.worker.check.no-such-test"
	// checkPause is how long the pieces of a request are apart. Who reads them
	// together is tried less hard, that is all.
	checkPause = 20 * time.Millisecond
)

// checkStep tries one rule in a session of its own, so that each is judged by
// itself. It returns why the worker did not do what it should.
type checkStep struct {
	rule string
	do   func(s *checkSession, tests []string) (why string)
}

// checkSteps come when it is known which tests to run.
var checkSteps = []checkStep{
	{"again", func(s *checkSession, tests []string) string {
		s.send(checkRequest(tests[0]))
		if why := s.settled(tests[0], 1); why != "" {
			return why
		}
		s.send(checkRequest(tests[0]))
		return s.settled(tests[0], 2)
	}},
	{"one-write", func(s *checkSession, tests []string) string {
		s.send(checkRequests(tests)...)
		return s.allSettled(tests)
	}},
	{"half-packets", func(s *checkSession, tests []string) string {
		s.sendPieces(checkPause, checkRequest(tests[0]))
		return s.settled(tests[0], 1)
	}},
	{"route-code", func(s *checkSession, tests []string) string {
		p := checkRequest(tests[0])
		p.Has, p.Route = p.Has|protocol.HasRoute, "0/1"
		s.send(p)
		return s.settled(tests[0], 1)
	}},
	{"give-back", func(s *checkSession, tests []string) string {
		s.send(append(checkRequests(tests), checkBack(tests[len(tests)-1]))...)
		return s.allSettled(tests)
	}},
	{"nothing-to-give", func(s *checkSession, tests []string) string {
		s.send(checkBack(checkUnknown), checkRequest(tests[0]))
		if why := s.settled(tests[0], 1); why != "" || len(tests) == 1 {
			return why
		}
		s.send(checkBack(tests[0]), checkRequest(tests[1]))
		return s.settled(tests[1], 1)
	}},
	{"pass-over", func(s *checkSession, tests []string) string {
		s.send(append(checkOdd(tests[0]), checkRequest(tests[0]))...)
		return s.settled(tests[0], 1)
	}},
	{"stdin-file", func(s *checkSession, tests []string) string {
		s.send(checkInput("some input\n", false), checkInput("", true), checkRequest(tests[0]))
		return s.settled(tests[0], 1)
	}},
	{"end-packet", func(s *checkSession, tests []string) string {
		s.send(append(checkRequests(tests), &protocol.Packet{EOF: true})...)
		return s.allSettled(tests)
	}},
	{"end-of-stdin", func(s *checkSession, tests []string) string {
		s.send(checkRequests(tests)...)
		s.closeStdin()
		return s.allSettled(tests)
	}},
}

// run does everything.
func (c *checker) run(ctx context.Context) error {
	if err := c.list(ctx); err != nil {
		return err
	}
	if len(c.ids) == 0 {
		c.untried("no test is listed")
		return nil
	}
	if err := c.unknown(ctx); err != nil {
		return err
	}
	if err := c.probe(ctx); err != nil {
		return err
	}
	switch len(c.tests) {
	case 0:
		c.untried("no test could be run")
		return nil
	case 1:
		c.untried("it takes two tests")
	default:
		c.tried("order", "one-at-a-time")
	}
	for _, step := range checkSteps {
		if step.rule == "give-back" && len(c.tests) == 1 {
			continue
		}
		why, err := c.session(ctx, step)
		if err != nil {
			return err
		}
		c.settle(step.rule, why)
	}
	return nil
}

// session starts a worker, tries a rule, and wants the worker to end when there
// are no more tests. It returns why the worker did not do what it should; the
// rule is broken then, unless the caller has something else in mind.
func (c *checker) session(ctx context.Context, step checkStep) (why string, err error) {
	s, err := c.start(ctx, false)
	if err != nil {
		return "", err
	}
	defer s.stop()
	if !c.deaf && step.rule != "stdin-file" {
		s.send(checkInput("", true)) // as a run says it that has no input
	}
	why = step.do(s, c.tests)
	switch {
	case why != "":
		s.stop() // what it held back tells more
	case step.rule == "end-packet":
		c.exits(s, "end-packet", "the end-of-file packet")
	default:
		s.closeStdin()
		c.exits(s, "end-of-stdin", "the end of stdin")
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	c.judge(s.entries(), step.rule, why == "")
	c.ran(s)
	return why, nil
}

// exits wants the worker to end.
func (c *checker) exits(s *checkSession, rule, after string) {
	if c.rule(rule).Verdict == CheckBroken {
		s.stop() // it would be waited for in vain again
		return
	}
	status, ok := s.exit()
	c.tried(rule, "exit-status")
	switch {
	case !ok:
		c.broken(rule, "nothing came for %v; waited for it to exit after %s%s", s.timeout, after, s.stderrTail())
	case !status.Success():
		c.broken("exit-status", "%s%s", status, s.stderrTail())
	}
}

// ran notes which tests were run.
func (c *checker) ran(s *checkSession) {
	for _, e := range s.entries() {
		p := e.packet
		if p != nil && p.Status.Final() && c.listed[p.TestID] && !slices.Contains(c.report.Tests, p.TestID) {
			c.report.Tests = append(c.report.Tests, p.TestID)
		}
	}
}

// unknown asks for an id that is not there. Nothing else is asked for, so that
// it is seen if something runs.
func (c *checker) unknown(ctx context.Context) error {
	c.deaf = true // one thing at a time
	why, err := c.session(ctx, checkStep{"unknown-test", func(s *checkSession, _ []string) string {
		s.send(checkRequest(checkUnknown))
		return s.settled(checkUnknown, 1)
	}})
	c.deaf = false
	if err == nil {
		c.settle("unknown-test", why)
	}
	return err
}

// probe finds tests to run. If none runs, that may be for the end of the input,
// which testr tells every worker of.
func (c *checker) probe(ctx context.Context) error {
	why, err := c.measure(ctx)
	if err != nil {
		return err
	}
	if why != "" && len(c.tests) == 0 {
		c.deaf = true
		if _, err := c.measure(ctx); err != nil {
			return err
		}
		if len(c.tests) > 0 {
			c.settle("stdin-file", why)
			why = ""
		}
	}
	c.settle("in-time", why)
	return nil
}

// measure asks for tests from all over the listing, one by one. The quickest are
// those to go on with.
func (c *checker) measure(ctx context.Context) (why string, err error) {
	took := make(map[string]time.Duration)
	why, err = c.session(ctx, checkStep{"in-time", func(s *checkSession, _ []string) string {
		n := min(checkProbes, len(c.ids))
		for i := range n {
			id := c.ids[i*len(c.ids)/n]
			begun := time.Now()
			s.send(checkRequest(id))
			if why := s.settled(id, 1); why != "" {
				return why
			}
			took[id] = time.Since(begun)
			c.tests = append(c.tests, id)
			c.tried("begin", "outcome", "runnable", "only-asked")
		}
		return ""
	}})
	slices.SortStableFunc(c.tests, func(a, b string) int { return cmp.Compare(took[a], took[b]) })
	c.tests = c.tests[:min(3, len(c.tests))]
	return why, err
}

// settle says that a rule was tried, and why it is broken, if it is.
func (c *checker) settle(rule, why string) {
	c.tried(rule)
	if why != "" {
		c.broken(rule, "%s", why)
	}
}

// The packets of a supervisor.
func checkRequest(id string) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: protocol.StatusExists, Runnable: true}
}

func checkRequests(ids []string) (packets []*protocol.Packet) {
	for _, id := range ids {
		packets = append(packets, checkRequest(id))
	}
	return packets
}

func checkBack(id string) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: protocol.StatusSkip}
}

func checkInput(content string, end bool) *protocol.Packet {
	return &protocol.Packet{Has: protocol.HasFile, FileName: stdinName, Content: []byte(content), EOF: end}
}

// checkOdd are packets that mean nothing to a worker, some about a test that it
// has.
func checkOdd(id string) []*protocol.Packet {
	return []*protocol.Packet{
		{Has: protocol.HasTestID, TestID: id, Status: protocol.StatusExists},
		{Has: protocol.HasTestID | protocol.HasTags | protocol.HasTime, TestID: id, Status: protocol.StatusSuccess,
			Runnable: true, Tags: []string{"a", ""}, Time: time.Unix(1, 1)},
		{Has: protocol.HasTestID | protocol.HasFile | protocol.HasMIME, TestID: id, FileName: "log", MIMEType: "x",
			Content: []byte("text"), EOF: true},
		{Has: protocol.HasTestID, TestID: id, EOF: true},
		{Has: protocol.HasTestID | protocol.HasParent, TestID: fmt.Sprintf("%s (part)", id), ParentID: id,
			Status: protocol.StatusInProgress},
		{Has: protocol.HasFile, FileName: "stdout", Content: []byte("\xb3"), EOF: true},
		{Has: protocol.HasTags, Tags: []string{"b"}},
		{},
	}
}
