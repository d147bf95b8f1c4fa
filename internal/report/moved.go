package report

import "testr/internal/event"

// moved are the tests that went elsewhere when an instance was lost: as many as
// workers had at the time.
type moved struct {
	order []string // of the instances, as they were lost first
	from  map[string]*named
	seen  map[movedTest]bool
}

// movedTest is a test and the instance that it was on.
type movedTest struct {
	instance string
	name
}

// add takes a KindRequeued event.
func (m *moved) add(e event.Event) {
	instance, ok := event.MovedFrom(e.Detail)
	if !ok {
		return
	}
	if m.from == nil {
		m.from, m.seen = map[string]*named{}, map[movedTest]bool{}
	}
	n := m.from[instance]
	if n == nil {
		n = &named{}
		m.from[instance] = n
		m.order = append(m.order, instance)
	}
	for _, id := range e.Tests {
		if test := (movedTest{instance, name{e.Profile, id}}); !m.seen[test] {
			m.seen[test] = true
			n.add(test.name)
		}
	}
}

// appendMoved appends a line for each instance that was lost.
func (t *Text) appendMoved(dst []byte) []byte {
	for _, instance := range t.moved.order {
		n := t.moved.from[instance]
		dst = append(dst, count(n.total, "test", "tests")+" moved when instance "...)
		dst = append(t.quote.line(dst, instance), " was lost"...)
		dst = append(t.appendNamed(dst, *n), '\n')
	}
	return dst
}
