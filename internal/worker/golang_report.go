package worker

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// The files that the Go worker attaches to tests.
const (
	goStdoutFile  = "stdout"       // what the test and its process wrote
	goReasonFile  = "reason"       // why a test was skipped
	goCrashFile   = "traceback"    // how the process ended, if not as the test says
	goBuildFile   = "build output" // of the go command
	goUnknownFile = "unknown-test"

	plainText = "text/plain;charset=utf8"
)

const (
	goTail       = 8 << 10  // how much of the last output is kept to explain a crash
	goReasonTail = 1 << 10  // how much of a test's, for the reason of a skip
	maxPiece     = 64 << 10 // what one packet carries of a file
)

// goReport writes the packets of one requested test: its own and those of its
// subtests. It is used by one goroutine.
type goReport struct {
	w   *protocol.Writer
	err error // the first error of w; nothing is written after it

	prefix  string // of every id: the package and a "."
	top     *goTest
	subs    map[string]*goTest // begun and not settled
	order   []*goTest          // the same, in the order in which they began
	current *goTest            // whose output it is
	ended   *goTest            // a subtest with an outcome that waits for more of its output
	tail    []byte             // the last of all output
}

// goTest is the requested test or one of its subtests.
type goTest struct {
	name    string
	parent  *goTest // nil for the requested test
	begun   bool    // the binary has named it
	gone    bool    // there is no such test
	outcome protocol.Status
	when    time.Time // of the outcome
	wrote   bool      // a part of its file was sent
	tail    []byte    // the last of its own output
}

// newGoReport begins the test of that id; test is the end of it, the name.
func newGoReport(w *protocol.Writer, id, test string) *goReport {
	r := &goReport{w: w, prefix: strings.TrimSuffix(id, test), top: &goTest{name: test}, subs: make(map[string]*goTest)}
	r.current = r.top
	r.status(r.top, protocol.StatusInProgress, time.Now())
	return r
}

// output is where the binary's output goes.
func (r *goReport) output() *goOutput { return &goOutput{frame: r.frame, text: r.text} }

// frame takes what the binary says about a test.
func (r *goReport) frame(action goAction, name string) bool {
	t := r.find(name)
	if t == nil && name != "" {
		if !strings.HasPrefix(name, r.top.name+"/") || !utf8.ValidString(name) || strings.Contains(name, "\x00") {
			return false // printed by a test that plays a test binary
		}
		t = r.begin(name)
	}
	r.settleEnded()
	if t == nil || action == goEnd {
		r.current = r.top
		return true
	}
	r.current = t
	switch action {
	case goRun:
		t.begun = true
	case goPass:
		r.reported(t, protocol.StatusSuccess)
	case goFail:
		r.reported(t, protocol.StatusFail)
	case goSkip:
		r.reported(t, protocol.StatusSkip)
	}
	return true
}

// find returns a test that has begun and is not settled.
func (r *goReport) find(name string) *goTest {
	if name == r.top.name {
		return r.top
	}
	return r.subs[name]
}

// begin opens a subtest. Its parent is the test with the longest name before a
// "/" of its own: the name of a subtest may itself have that character.
func (r *goReport) begin(name string) *goTest {
	t := &goTest{name: name, parent: r.top}
	for i := len(name) - 1; i > len(r.top.name); i-- {
		if parent := r.subs[name[:i]]; name[i] == '/' && parent != nil {
			t.parent = parent
			break
		}
	}
	r.subs[name] = t
	r.order = append(r.order, t)
	r.status(t, protocol.StatusInProgress, time.Now())
	return t
}

// reported notes an outcome. What is printed up to the next marked line still
// belongs to the test. With -cpu there is one outcome a round: the worst holds.
func (r *goReport) reported(t *goTest, outcome protocol.Status) {
	if t.outcome == protocol.StatusNone || t.outcome == protocol.StatusSkip || outcome == protocol.StatusFail {
		t.outcome = outcome
	}
	t.when = time.Now()
	if t != r.top {
		r.ended = t
	}
}

func (r *goReport) settleEnded() {
	if r.ended != nil {
		r.settle(r.ended)
		r.ended = nil
	}
}

// settle writes the end of a test and forgets it.
func (r *goReport) settle(t *goTest) {
	if t != r.top {
		delete(r.subs, t.name)
		i := slices.Index(r.order, t)
		r.order = slices.Delete(r.order, i, i+1)
	}
	if t.wrote {
		r.file(t, goStdoutFile, nil, true)
	}
	if reason := skipReason(t.tail); t.outcome == protocol.StatusSkip && reason != "" {
		r.file(t, goReasonFile, []byte(reason), true)
	}
	r.status(t, t.outcome, t.when)
}

// text takes output of the current test.
func (r *goReport) text(b []byte) {
	r.tail = appendTail(r.tail, b, goTail)
	r.current.tail = appendTail(r.current.tail, b, goReasonTail)
	r.current.wrote = true
	r.file(r.current, goStdoutFile, b, false)
}

// finish settles every test after the end of the process. The verdict is the
// binary's only if the process ended accordingly.
func (r *goReport) finish(end instance.ExitStatus) error {
	r.settleEnded()
	for _, t := range slices.Backward(slices.Clone(r.order)) {
		t.outcome, t.when = protocol.StatusFail, time.Now()
		r.settle(t)
	}
	t := r.top
	switch {
	case t.outcome != protocol.StatusNone && end.Success():
	case t.outcome == protocol.StatusFail && end.Code == 1:
	case !t.begun && end.Success() && bytes.Contains(r.tail, []byte("testing: warning: no tests to run")):
		return r.unknown("its package has no such test")
	default:
		r.file(t, goCrashFile, crashText(r.tail, t, end), true)
		t.outcome = protocol.StatusFail
	}
	t.when = time.Now()
	r.settle(t)
	return r.err
}

// abandon ends the files of all tests that have none of their outcomes yet:
// whoever stopped the worker says what became of them.
func (r *goReport) abandon() error {
	r.settleEnded()
	for _, t := range append(slices.Clone(r.order), r.top) {
		if t.wrote {
			r.file(t, goStdoutFile, nil, true)
		}
	}
	return r.err
}

// unknown ends the requested test as one that is not there.
func (r *goReport) unknown(why string) error {
	r.file(r.top, goUnknownFile, []byte(why+"\n"), true)
	r.top.gone = true
	return r.fail()
}

// unbuilt ends the requested test as one whose package does not build.
func (r *goReport) unbuilt(output []byte) error {
	r.file(r.top, goBuildFile, output, true)
	return r.fail()
}

func (r *goReport) fail() error {
	r.top.outcome, r.top.when = protocol.StatusFail, time.Now()
	r.settle(r.top)
	return r.err
}

// status writes what a test is or has come to. Only the requested test can be
// asked for again, if its outcome says so: when it begins nobody knows whether
// it is there.
func (r *goReport) status(t *goTest, status protocol.Status, when time.Time) {
	p := r.packet(t)
	p.Has |= protocol.HasTime
	p.Status, p.Time, p.Runnable = status, when, status.Final() && t == r.top && !t.gone
	r.write(p)
}

// file writes a part of a test's file, in pieces of a bounded size. The last
// one ends the file if that is asked for.
func (r *goReport) file(t *goTest, name string, content []byte, end bool) {
	for {
		piece := content[:min(len(content), maxPiece)]
		content = content[len(piece):]
		p := r.packet(t)
		p.Has |= protocol.HasFile | protocol.HasMIME
		p.FileName, p.MIMEType, p.Content = name, plainText, piece
		p.EOF = end && len(content) == 0
		r.write(p)
		if len(content) == 0 {
			return
		}
	}
}

func (r *goReport) packet(t *goTest) *protocol.Packet {
	p := &protocol.Packet{Has: protocol.HasTestID, TestID: r.prefix + t.name}
	if t.parent != nil {
		p.Has |= protocol.HasParent
		p.ParentID = r.prefix + t.parent.name
	}
	return p
}

func (r *goReport) write(p *protocol.Packet) {
	if r.err == nil {
		r.err = r.w.WritePacket(p)
	}
}

// crashText explains a process that did not end as its test did, with the last
// of its output, from the panic on if there was one.
func crashText(tail []byte, t *goTest, end instance.ExitStatus) []byte {
	tail = tail[max(0, len(tail)-goTail):]
	if at := goPanic.FindIndex(tail); at != nil {
		tail = tail[at[0]:]
	}
	var text bytes.Buffer
	text.Write(tail)
	if len(tail) > 0 && tail[len(tail)-1] != '\n' {
		text.WriteByte('\n')
	}
	switch {
	case !t.begun:
		text.WriteString("the test binary did not run the test: ")
	case t.outcome == protocol.StatusNone:
		text.WriteString("the test binary ended within the test: ")
	case t.outcome != protocol.StatusFail:
		text.WriteString("the test binary failed after the test: ")
	}
	text.WriteString(end.String() + "\n")
	return text.Bytes()
}

// skipReason finds what t.Skip was told: the last message of the test's log.
func skipReason(tail []byte) string {
	at := goLogLine.FindAllIndex(tail, -1)
	if at == nil {
		return ""
	}
	first, rest, _ := strings.Cut(string(tail[at[len(at)-1][1]:]), "\n")
	var reason strings.Builder
	reason.WriteString(first)
	for line := range strings.Lines(rest) {
		more, ok := strings.CutPrefix(line, "        ")
		if !ok {
			break
		}
		reason.WriteString("\n" + strings.TrimSuffix(more, "\n"))
	}
	return reason.String()
}

var (
	goPanic   = regexp.MustCompile(`(?m)^(panic|fatal error|unexpected fault address|SIG[A-Z0-9]+): `)
	goLogLine = regexp.MustCompile(`(?m)^ {4}[^\n]*?\.go:[0-9]+: `)
)

// appendTail appends b to tail and keeps at least the last limit bytes of that,
// and at most twice as many.
func appendTail(tail, b []byte, limit int) []byte {
	b = b[max(0, len(b)-limit):]
	if len(tail)+len(b) > 2*limit {
		tail = tail[:copy(tail, tail[len(tail)-(limit-len(b)):])]
	}
	return append(tail, b...)
}
