package worker

import (
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"testr/internal/instance"
	"testr/internal/protocol"
)

// The files that the TAP worker attaches to scripts and assertions.
const (
	tapStdoutFile  = "stdout"    // what a script wrote that is no assertion that passed
	tapStderrFile  = "stderr"    // what it wrote there
	tapReasonFile  = "reason"    // why something was skipped or is to do
	tapNoteFile    = "note"      // that something passed which is to do
	tapSummaryFile = "traceback" // why a script failed
	tapUnknownFile = "unknown-test"
)

const (
	// maxTapDescription is how much of a description an id has.
	maxTapDescription = 200
	// maxTapHeld is how many failures of one subtest wait for what the subtest
	// comes to. Further ones are in the script's output alone.
	maxTapHeld = 1000
)

// tapReport writes the packets of one script: its own and those of its
// assertions.
type tapReport struct {
	id    string
	lines tapLines

	// mu guards what follows: stdout and stderr have a goroutine each, which
	// take turns. The rest is done when both have ended.
	mu     sync.Mutex
	w      *protocol.Writer
	err    error // the first error of w; nothing is written after it
	parser tapParser
	text   []byte // of stdout, not written yet
	wrote  bool   // a part of stdout was
	failed bool   // a part of stderr was
	held   []tapTest
	block  bool // the assertion before stands before its subtest
	passed bool // that one lets the script pass
}

// newTapReport begins the script of that id. Nobody knows yet whether it is there.
func newTapReport(w *protocol.Writer, id string) *tapReport {
	r := &tapReport{id: id, w: w}
	r.lines = tapLines{line: r.line, rest: r.addText}
	r.status(protocol.StatusInProgress, false)
	return r
}

// stdout takes a piece of what the script writes.
func (r *tapReport) stdout(b []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines.write(b)
	r.flushText()
	return r.err
}

func (r *tapReport) stderr(b []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.file(tapStderrFile, b, false)
	return r.err
}

// line takes a line of stdout. What failed stands in the text too, so that the
// diagnostics behind it are about something.
func (r *tapReport) line(s string) {
	kind, test := r.parser.line(s)
	if kind == tapOther || kind == tapPoint && !test.ok {
		r.addText([]byte(s))
		r.addText([]byte{'\n'})
	}
	if kind == tapPoint {
		r.point(test)
	}
}

// point reports an assertion. One of a subtest that failed waits for what the
// subtest comes to: nothing that prove lets pass may fail the run.
func (r *tapReport) point(test tapTest) {
	switch {
	case test.depth == 0:
		r.release(test.good())
		r.assertion(test)
		r.block, r.passed = test.block, test.good()
	case test.good():
		r.assertion(test)
	case r.block:
		r.inner(test, r.passed)
	case len(r.held) < maxTapHeld:
		r.held = append(r.held, test)
	}
}

// release reports what failed within the subtest that has ended now.
func (r *tapReport) release(passed bool) {
	for _, test := range r.held {
		r.inner(test, passed)
	}
	r.held = r.held[:0]
}

// inner reports what failed within a subtest.
func (r *tapReport) inner(test tapTest, passed bool) {
	if passed {
		test.directive = tapTodo
		if test.reason == "" {
			test.reason = "its subtest passed as a whole"
		}
	}
	r.assertion(test)
}

func (r *tapReport) assertion(test tapTest) {
	r.flushText()
	p := &protocol.Packet{
		Has:    protocol.HasTestID | protocol.HasParent | protocol.HasTime,
		TestID: r.id + ":" + test.place, ParentID: r.id, Time: time.Now(),
	}
	if test.description != "" {
		p.TestID += " " + cutText(tapText(test.description))
	}
	name, reason := tapReasonFile, test.reason
	switch {
	case test.unplanned:
		p.Status, name, reason = protocol.StatusFail, tapSummaryFile, "more assertions than were planned"
	case test.directive == tapTodo && test.ok:
		p.Status, name, reason = protocol.StatusSuccess, tapNoteFile, strings.TrimSpace("TODO passed: "+reason)
	case test.directive == tapTodo:
		p.Status = protocol.StatusXFail
	case !test.ok:
		p.Status = protocol.StatusFail
	case test.directive == tapSkip:
		p.Status = protocol.StatusSkip
	default:
		p.Status = protocol.StatusSuccess
	}
	if reason != "" {
		p.Has |= protocol.HasFile | protocol.HasMIME
		p.FileName, p.MIMEType, p.Content, p.EOF = name, plainText, []byte(tapText(reason)), true
	}
	r.write(p)
}

// cutText shortens a text, between characters.
func cutText(s string) string {
	if len(s) <= maxTapDescription {
		return s
	}
	end := maxTapDescription
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// addText collects text of stdout; flushText writes it.
func (r *tapReport) addText(b []byte) {
	r.text = append(r.text, b...)
	if len(r.text) >= maxPiece {
		r.flushText()
	}
}

func (r *tapReport) flushText() {
	if len(r.text) == 0 {
		return
	}
	r.wrote = true
	r.file(tapStdoutFile, r.text, false)
	r.text = r.text[:0]
}

// finish judges the script, whose process ended so.
func (r *tapReport) finish(end instance.ExitStatus) error {
	r.lines.end()
	problems := r.parser.end()
	if !end.Success() {
		problems = append(problems, end.String())
	}
	r.release(len(problems) == 0)
	r.flushText()
	if r.wrote {
		r.file(tapStdoutFile, nil, true)
	}
	if r.failed {
		r.file(tapStderrFile, nil, true)
	}
	why, skipped := r.parser.skipped()
	switch {
	case len(problems) > 0:
		r.file(tapSummaryFile, []byte(tapText(strings.Join(problems, "; "))+"\n"), true)
		r.status(protocol.StatusFail, true)
	case skipped:
		if why != "" {
			r.file(tapReasonFile, []byte(tapText(why)), true)
		}
		r.status(protocol.StatusSkip, true)
	default:
		r.status(protocol.StatusSuccess, true)
	}
	return r.err
}

// unstarted ends the script as one that could not be started.
func (r *tapReport) unstarted(err error) error {
	r.file(tapSummaryFile, []byte(tapText(err.Error())+"\n"), true)
	r.status(protocol.StatusFail, true)
	return r.err
}

// unknown ends the script as one that is not there.
func (r *tapReport) unknown() error {
	r.file(tapUnknownFile, []byte("it is no script that is tested here\n"), true)
	r.status(protocol.StatusFail, false)
	return r.err
}

// status writes what the script has come to.
func (r *tapReport) status(status protocol.Status, runnable bool) {
	r.write(&protocol.Packet{
		Has: protocol.HasTestID | protocol.HasTime, TestID: r.id,
		Status: status, Time: time.Now(), Runnable: runnable,
	})
}

// file writes a part of a file of the script, and its end if that is asked for.
func (r *tapReport) file(name string, content []byte, end bool) {
	for {
		piece := content[:min(len(content), maxPiece)]
		content = content[len(piece):]
		r.write(&protocol.Packet{
			Has:    protocol.HasTestID | protocol.HasFile | protocol.HasMIME,
			TestID: r.id, FileName: name, MIMEType: plainText, Content: piece, EOF: end && len(content) == 0,
		})
		if len(content) == 0 {
			return
		}
	}
}

func (r *tapReport) write(p *protocol.Packet) {
	if r.err == nil {
		r.err = r.w.WritePacket(p)
	}
}
