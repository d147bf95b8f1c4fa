package worker

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// tapKind says what a line is.
type tapKind uint8

const (
	tapOther  tapKind = iota // text, diagnostics, YAML
	tapSilent                // says something of the stream: the version, the plan, its breaking off
	tapPoint                 // an assertion
)

type tapDirective uint8

const (
	tapNoDirective tapDirective = iota
	tapTodo
	tapSkip
)

// tapTest is one assertion.
type tapTest struct {
	depth       int    // of the subtest that it stands in; 0 outside of all
	place       string // "3", or "3.1" for the first of the subtest that is the third; unique
	ok          bool   // as written, whatever the directive says
	unplanned   bool   // there are more than were planned
	directive   tapDirective
	description string
	reason      string // what follows the directive

	number   int // as written
	numbered bool
	block    bool // it ends with "{": the assertions of its subtest follow
}

// good says whether it lets its script pass.
func (t tapTest) good() bool { return !t.unplanned && (t.ok || t.directive == tapTodo) }

// parseTapTest reads an assertion.
func parseTapTest(s string) (t tapTest, ok bool) {
	rest, isNot := strings.CutPrefix(s, "not ")
	rest, ok = strings.CutPrefix(rest, "ok")
	if !ok || rest != "" && isWord(rest[0]) {
		return t, false
	}
	t.ok = !isNot
	rest = trimTap(rest)
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	if digits > 0 {
		t.number, t.numbered = tapNumber(rest[:digits]), true
	}
	rest = trimTap(rest[digits:])
	if block, is := strings.CutSuffix(rest, "{"); is && (block == "" || block[len(block)-1] == ' ') {
		t.block, rest = true, trimTap(block)
	}
	t.description = rest
	if at := tapHash(rest); at >= 0 {
		if m := tapDirectivePattern.FindStringSubmatch(rest[at:]); m != nil {
			t.directive = tapTodo
			if strings.EqualFold(m[1], "skip") {
				t.directive = tapSkip
			}
			t.description, t.reason = rest[:at], trimTap(m[2])
		}
	}
	t.description = trimTap(t.description)
	t.description = trimTap(strings.TrimPrefix(t.description, "-"))
	if strings.Contains(t.description, `\`) {
		t.description = tapEscapes.Replace(t.description)
	}
	return t, true
}

// tapHash is where the first "#" stands that no backslash is before, or -1.
func tapHash(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '#':
			return i
		}
	}
	return -1
}

var (
	tapDirectivePattern = regexp.MustCompile(`^#\s*(?i:(SKIP|TODO))\b\s*((?s:.*))$`)
	tapEscapes          = strings.NewReplacer(`\\`, `\`, `\#`, "#")
	tapPlan             = regexp.MustCompile(`^1\.\.(\d+)[\s\v]*((?s:.*))$`)
	tapPlanTodo         = regexp.MustCompile(`^todo((?:\s+\d+)+)`)
	tapPlanSkip         = regexp.MustCompile(`^#\s*(?i:SKIP)\S*\s+((?s:.*))$`)
	tapPlanSkip13       = regexp.MustCompile(`^#\s*(?i:SKIP)\b((?s:.*))$`)
	tapVersion          = regexp.MustCompile(`^(?i:TAP)\s+(?i:version)\s+(\d+)[\s\v]*$`)
	tapPragma           = regexp.MustCompile(`^pragma\s+([-+]\w+\s*(?:,\s*[-+]\w+\s*)*)$`)
	tapYAML             = regexp.MustCompile(`^(\s+)---`)
)

// tapNumbers are numbers of assertions: as ranges, and not too many.
type tapNumbers struct {
	ranges [][2]int
	more   int // that have no place
}

const maxTapRanges = 20

func (n *tapNumbers) add(number int) {
	last := len(n.ranges) - 1
	switch {
	case last >= 0 && n.ranges[last][1] == number-1:
		n.ranges[last][1] = number
	case len(n.ranges) < maxTapRanges:
		n.ranges = append(n.ranges, [2]int{number, number})
	default:
		n.more++
	}
}

// describe names them, if there are any.
func (n *tapNumbers) describe() []string {
	if len(n.ranges) == 0 {
		return nil
	}
	var words []string
	for _, r := range n.ranges {
		word := strconv.Itoa(r[0])
		if r[1] > r[0] {
			word += "-" + strconv.Itoa(r[1])
		}
		words = append(words, word)
	}
	label := "Failed tests: "
	if len(n.ranges) == 1 && n.ranges[0][0] == n.ranges[0][1] && n.more == 0 {
		label = "Failed test: "
	}
	if n.more > 0 {
		words = append(words, "and "+strconv.Itoa(n.more)+" more")
	}
	return []string{label + strings.Join(words, ", ")}
}

// tapSpace is white space to Perl.
const tapSpace = " \t\n\v\f\r"

func trimTap(s string) string { return strings.Trim(s, tapSpace) }

// tapNumber reads digits; numbers without end are just large.
func tapNumber(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return math.MaxInt
	}
	return n
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
