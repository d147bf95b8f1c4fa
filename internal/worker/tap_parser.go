package worker

import (
	"strconv"
	"strings"
)

// maxTapDepth is how deep subtests may stand in one another; what is indented
// further is text.
const maxTapDepth = 16

// maxTapReason is how much of a reason to bail out is kept.
const maxTapReason = 1 << 10

// tapState is what came before.
type tapState uint8

const (
	tapBegin tapState = iota
	tapVersioned
	tapPlanned   // the plan came first
	tapUnplanned // assertions came first
	tapEnded     // assertions, then the plan
)

// tapLevel is the outermost stream of assertions, or one of a subtest.
type tapLevel struct {
	count int
	open  bool // the last of them ended with "{"
}

// tapParser reads the output of one script, line by line, and judges it as prove
// does: TAP of the versions 12, 13 and 14. What it keeps is bounded.
type tapParser struct {
	version  int // 0 is 12: nothing was said
	state    tapState
	strict   bool
	planned  int
	planTodo map[int]bool // what an old form of the plan says is to do
	skips    bool         // the plan is 1..0
	reason   string
	run      int
	failed   tapNumbers
	bailOut  string
	errors   []string // what is wrong with the stream
	more     int      // errors that were left out
	levels   []tapLevel
	yaml     int // the indentation of the YAML block that goes on; 0 if none does
}

// line takes the next line, without its newline.
func (p *tapParser) line(s string) (tapKind, tapTest) {
	if p.yaml > 0 && p.inYAML(s) {
		return tapOther, tapTest{}
	}
	if t, ok := parseTapTest(s); ok {
		return tapPoint, p.test(t)
	}
	switch {
	case strings.HasPrefix(s, "#"):
		return tapOther, tapTest{}
	case strings.HasPrefix(s, "1.."):
		if p.plan(s) {
			return tapSilent, tapTest{}
		}
	case p.setVersion(s), p.version > 12 && p.pragma(s), p.bail(s):
		return tapSilent, tapTest{}
	case p.version > 12 && p.beginYAML(s):
		return tapOther, tapTest{}
	}
	if p.strict {
		p.problem("a line that is no TAP: " + strconv.QuoteToASCII(s[:min(len(s), 60)]))
	}
	return p.nested(s)
}

// test counts an assertion that stands outside of subtests.
func (p *tapParser) test(t tapTest) tapTest {
	switch p.state {
	case tapBegin, tapVersioned:
		p.state = tapUnplanned
	case tapEnded:
		p.problem("the plan stands in the middle")
		p.state = tapPlanned
	default:
	}
	p.run++
	t.unplanned = p.state == tapPlanned && p.run > p.planned
	if !t.numbered {
		t.number = p.run
	} else if t.number != p.run {
		p.problem("out of sequence: " + strconv.Itoa(t.number) + " where " + strconv.Itoa(p.run) + " was due")
	}
	if p.planTodo[t.number] {
		delete(p.planTodo, t.number)
		t.directive = tapTodo
	}
	if !t.good() {
		p.failed.add(t.number)
	}
	t.place = p.place(0, &t)
	return t
}

// nested is for what stands in a subtest. It doesn't count: the subtest's own
// line, outside, says what became of it.
func (p *tapParser) nested(s string) (tapKind, tapTest) {
	inner := strings.TrimLeft(s, " ")
	depth, odd := (len(s)-len(inner))/4, (len(s)-len(inner))%4
	if odd != 0 || depth > maxTapDepth {
		return tapOther, tapTest{}
	}
	if trimTap(inner) == "}" && depth < len(p.levels) && p.levels[depth].open {
		p.levels = p.levels[:depth+1]
		p.levels[depth].open = false
		return tapSilent, tapTest{}
	}
	if depth == 0 {
		return tapOther, tapTest{}
	}
	if p.version > 12 && tapVersion.MatchString(inner) || tapPlan.MatchString(inner) {
		return tapSilent, tapTest{}
	}
	// Without a number it is rather something that a script prints.
	t, ok := parseTapTest(inner)
	if !ok || !t.numbered {
		return tapOther, tapTest{}
	}
	t.depth = depth
	t.place = p.place(depth, &t)
	return tapPoint, t
}

// place numbers an assertion. In a subtest its number follows that of the
// assertion which the subtest comes to: mostly that is written behind the
// subtest, else before it, with a "{".
func (p *tapParser) place(depth int, t *tapTest) string {
	for len(p.levels) <= depth {
		p.levels = append(p.levels, tapLevel{})
	}
	var b strings.Builder
	for _, outer := range p.levels[:depth] {
		n := outer.count
		if !outer.open {
			n++
		}
		b.WriteString(strconv.Itoa(n) + ".")
	}
	t.block = t.block && len(p.levels) == depth+1 // its subtest may stand before it
	p.levels = p.levels[:depth+1]
	level := &p.levels[depth]
	level.count++
	level.open = t.block
	return b.String() + strconv.Itoa(level.count)
}

// plan reads a plan; it reports whether the line is one.
func (p *tapParser) plan(s string) bool {
	m := tapPlan.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	planned, tail := tapNumber(m[1]), m[2]
	skips, reason := planned == 0, ""
	todo := make(map[int]bool)
	switch {
	case p.version > 12:
		skip := tapPlanSkip13.FindStringSubmatch(tail)
		if skip == nil && tail != "" {
			return false
		}
		if skip != nil {
			skips, reason = true, skip[1]
		}
	case tapPlanTodo.MatchString(tail):
		skips = false
		for number := range strings.FieldsSeq(tapPlanTodo.FindStringSubmatch(tail)[1]) {
			todo[tapNumber(number)] = true
		}
	case planned == 0:
		if skip := tapPlanSkip.FindStringSubmatch(tail); skip != nil {
			reason = skip[1]
		}
	case tail != "":
		return false
	}
	switch p.state {
	case tapPlanned, tapEnded:
		p.problem("more than one plan")
		p.state = tapPlanned
		return true
	case tapUnplanned:
		p.state = tapEnded
	default:
		p.state = tapPlanned
	}
	p.planned, p.skips, p.reason, p.planTodo = planned, skips, trimTap(reason), todo
	return true
}

// setVersion reads the version; it reports whether the line says it.
func (p *tapParser) setVersion(s string) bool {
	if len(s) < len("TAP") || !strings.EqualFold(s[:len("TAP")], "TAP") {
		return false // what most lines are
	}
	m := tapVersion.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	version := tapNumber(m[1])
	switch {
	case p.state != tapBegin:
		p.problem("the version stands in the middle")
		return true
	case version < 13:
		p.problem("a version is said only from 13 on, not " + m[1])
	case version > 14:
		p.problem("TAP version " + m[1] + " is not known")
		version = 14
	}
	p.version, p.state = version, tapVersioned
	return true
}

func (p *tapParser) pragma(s string) bool {
	m := tapPragma.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	for word := range strings.SplitSeq(m[1], ",") {
		switch strings.TrimSpace(word) {
		case "+strict":
			p.strict = true
		case "-strict":
			p.strict = false
		}
	}
	return true
}

func (p *tapParser) bail(s string) bool {
	reason, ok := strings.CutPrefix(trimTap(s), "Bail out!")
	if ok && p.bailOut == "" {
		p.bailOut = trimTap("Bail out! " + trimTap(reason[:min(len(reason), maxTapReason)]))
	}
	return ok
}

func (p *tapParser) beginYAML(s string) bool {
	m := tapYAML.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	p.yaml = len(m[1])
	return true
}

// inYAML takes a line of the YAML block; it reports whether it is one.
func (p *tapParser) inYAML(s string) bool {
	if len(s) < p.yaml || trimTap(s[:p.yaml]) != "" {
		p.problem("a YAML block has no end")
		p.yaml = 0
		return false
	}
	if strings.TrimRight(s[p.yaml:], tapSpace) == "..." {
		p.yaml = 0
	}
	return true
}

func (p *tapParser) problem(what string) {
	if len(p.errors) == 3 {
		p.more++
		return
	}
	p.errors = append(p.errors, what)
}

// skipped says whether a script without problems was skipped; why may be empty.
func (p *tapParser) skipped() (why string, ok bool) { return p.reason, p.skips }

// end says what keeps the script from passing, now that its output has ended.
func (p *tapParser) end() []string {
	if p.yaml > 0 {
		p.problem("a YAML block has no end")
		p.yaml = 0
	}
	problems := p.failed.describe()
	switch {
	case p.state < tapPlanned || p.state == tapUnplanned:
		problems = append(problems, "no plan, ran "+strconv.Itoa(p.run))
	case p.run != p.planned:
		problems = append(problems, "planned "+strconv.Itoa(p.planned)+", ran "+strconv.Itoa(p.run))
	}
	problems = append(problems, p.errors...)
	if p.more > 0 {
		problems = append(problems, strconv.Itoa(p.more)+" more mistakes in its TAP")
	}
	if p.bailOut != "" {
		problems = append(problems, p.bailOut)
	}
	return problems
}
