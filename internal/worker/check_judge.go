package worker

import (
	"slices"

	"testr/internal/protocol"
)

// checkJudge goes through the log of one session.
type checkJudge struct {
	c *checker

	notAsked string // the rule that is broken by what runs without being asked for

	queue   []string        // asked for and not begun
	open    []string        // begun and not ended: one at most
	strays  map[string]bool // begun without being asked for, and not ended
	back    map[string]int  // asked back and not answered
	given   map[string]int  // given back
	ended   map[string]int
	set     map[string]bool // kept from running by a fixture
	unknown map[string]bool // said to be unknown
}

// judge looks for violations of the rules that hold all the time, in the session
// that tries a rule. Whole says that the worker came to its own end.
func (c *checker) judge(log []checkEntry, rule string, whole bool) {
	j := &checkJudge{
		c: c, notAsked: "only-asked", strays: make(map[string]bool),
		back: make(map[string]int), given: make(map[string]int), ended: make(map[string]int),
		set: make(map[string]bool), unknown: make(map[string]bool),
	}
	if rule == "pass-over" {
		j.notAsked = rule
	}
	for _, e := range log {
		switch {
		case e.asked != "":
			j.queue = append(j.queue, e.asked)
		case e.back != "":
			j.back[e.back]++
		case e.damage != "":
			c.broken("clean-stream", "%s", e.damage)
		case e.packet != nil && e.packet.TestID != "":
			j.packet(e.packet)
		}
	}
	if !whole {
		return
	}
	for _, id := range j.queue {
		c.broken("outcome", "it ended without an outcome of %q", id)
	}
	for _, id := range j.open {
		c.broken("outcome", "it ended without an outcome of %q, which it had begun", id)
	}
}

func (j *checkJudge) packet(p *protocol.Packet) {
	switch p.FileName {
	case "setup-failure":
		j.set[p.TestID] = true
	case "unknown-test":
		j.unknown[p.TestID] = true
	}
	switch {
	case p.Status == protocol.StatusInProgress:
		j.begins(p)
	case p.Status.Final():
		j.ends(p)
	case p.Status == protocol.StatusExists:
		j.gives(p.TestID)
	}
}

func (j *checkJudge) begins(p *protocol.Packet) {
	id := p.TestID
	if slices.Contains(j.open, id) {
		return // said again: the clock starts anew
	}
	if !j.take(p) {
		return
	}
	if p.Has&protocol.HasTime == 0 {
		j.c.broken("begin", "%q began without a timestamp", id)
	}
	j.open = append(j.open, id)
}

// take takes a test out of the queue: it begins, or ends without having begun.
func (j *checkJudge) take(p *protocol.Packet) bool {
	id := p.TestID
	at := slices.Index(j.queue, id)
	switch {
	case at >= 0:
	case j.given[id] > 0:
		j.c.broken("give-back", "%q was given back with exists, and then: %s", id, p.Status)
		return false
	case j.ended[id] > 0 && p.Status.Final():
		j.c.broken("outcome", "%q had an outcome already, and then: %s", id, p.Status)
		return false
	case j.c.listed[id] || p.Runnable || j.ended[id] > 0:
		j.c.broken(j.notAsked, "%s of %q, which was not asked for", p.Status, id)
		j.strays[id] = p.Status == protocol.StatusInProgress
		return false
	default:
		return false // of something that is no test
	}
	if len(j.open) > 0 {
		j.c.broken("one-at-a-time", "%s of %q while %q had no outcome", p.Status, id, j.open[0])
	}
	if first := j.queue[0]; at > 0 && j.back[first] == 0 {
		j.c.broken("order", "%s of %q, and %q was asked for before that", p.Status, id, first)
	}
	j.queue = slices.Delete(j.queue, at, at+1)
	return true
}

func (j *checkJudge) ends(p *protocol.Packet) {
	id := p.TestID
	listed := j.c.listed[id]
	switch at := slices.Index(j.open, id); {
	case at >= 0:
		j.open = slices.Delete(j.open, at, at+1)
	case j.strays[id]:
		delete(j.strays, id)
		return
	case !j.take(p):
		return
	case listed && !j.set[id] && !j.unknown[id]:
		j.c.broken("begin", "%s of %q, which had not begun", p.Status, id)
	}
	j.ended[id]++
	if p.Has&protocol.HasTime == 0 {
		j.c.broken("outcome", "%s of %q has no timestamp", p.Status, id)
	}
	switch {
	case listed && j.unknown[id] && !p.Runnable:
		j.c.broken("list-ids", "%q is listed, and then not known", id)
	case listed && !p.Runnable && !j.set[id]:
		j.c.broken("runnable", "%s of %q is not runnable", p.Status, id)
	case !listed && (p.Status != protocol.StatusFail || p.Runnable || !j.unknown[id]):
		j.c.broken("unknown-test", "%q is not listed and ended with %s, runnable: %t, file unknown-test: %t",
			id, p.Status, p.Runnable, j.unknown[id])
	}
}

// gives is for the answer to a test's being asked back.
func (j *checkJudge) gives(id string) {
	if j.back[id] == 0 {
		return // it means nothing
	}
	j.back[id]--
	for at, asked := range slices.Backward(j.queue) {
		if asked == id {
			j.queue = slices.Delete(j.queue, at, at+1)
			j.given[id]++
			return
		}
	}
	if slices.Contains(j.open, id) {
		j.c.broken("give-back", "%q was given back with exists while it ran", id)
		return
	}
	j.c.broken("nothing-to-give", "%q was given back with exists, and was not there to give", id)
}
