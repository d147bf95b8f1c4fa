package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testr/internal/event"
	"testr/internal/protocol"
)

const utf8Text = "text/plain; charset=utf8"

func packet(p protocol.Packet) event.Event {
	if p.TestID != "" {
		p.Has |= protocol.HasTestID
	}
	if p.Tags != nil {
		p.Has |= protocol.HasTags
	}
	if p.Route != "" {
		p.Has |= protocol.HasRoute
	}
	if p.FileName != "" {
		p.Has |= protocol.HasFile
	}
	if p.MIMEType != "" {
		p.Has |= protocol.HasMIME
	}
	if !p.Time.IsZero() {
		p.Has |= protocol.HasTime
	}
	return event.Event{Kind: event.KindPacket, Packet: &p, Worker: event.NoWorker}
}

func outcome(id string, s protocol.Status, tags ...string) event.Event {
	return packet(protocol.Packet{TestID: id, Status: s, Runnable: true, Tags: tags})
}

func attach(id, name, mime, content string) event.Event {
	return packet(protocol.Packet{TestID: id, Runnable: true, FileName: name, MIMEType: mime, Content: []byte(content)})
}

func chat(route, file, content string) event.Event {
	return packet(protocol.Packet{Route: route, FileName: file, Content: []byte(content)})
}

// show feeds a Text and returns what it wrote.
func show(t *testing.T, text *Text, events ...event.Event) {
	t.Helper()
	for _, e := range events {
		if err := text.Event(e); err != nil {
			t.Fatal(err)
		}
	}
}

func block(lines ...string) string {
	return blockRule + lines[0] + "\n" + headerRule + strings.Join(lines[1:], "\n") + "\n"
}

var blockTests = []struct {
	name  string
	files []event.Event
	want  string
}{
	{"no files", nil, ""},
	{"traceback", []event.Event{attach("a.b", "traceback", utf8Text, "\n  Trace:\n  x\n\n")}, "Trace:\n  x\n"},
	{"in pieces", []event.Event{
		attach("a.b", "traceback", utf8Text, "one "), attach("a.b", "traceback", "", "two"),
	}, "one two\n"},
	{"one line", []event.Event{attach("a.b", "log", utf8Text, "one")}, "log: {{{one}}}\n"},
	{"lines", []event.Event{attach("a.b", "log", utf8Text, "one\ntwo\n")}, "log: {{{\none\ntwo\n}}}\n"},
	{"by name, the traceback last", []event.Event{
		attach("a.b", "traceback", utf8Text, "T"), attach("a.b", "z", utf8Text, "one"),
		attach("a.b", "x", utf8Text, "one\ntwo"), attach("a.b", "a", utf8Text, "one"),
	}, "a: {{{one}}}\nx: {{{\none\ntwo\n}}}\n\nz: {{{one}}}\n\nT\n"},
	{"traceback after lines", []event.Event{
		attach("a.b", "traceback", utf8Text, "T"), attach("a.b", "x", utf8Text, "one\ntwo"),
	}, "x: {{{\none\ntwo\n}}}\n\nT\n"},
	{"binary and blank", []event.Event{
		attach("a.b", "pic", `image/png; b=c;A="x;y"`, "\x00"), attach("a.b", "nomime", "", "\x00"),
		attach("a.b", "blank", utf8Text, " \x1f\n"), attach("a.b", "empty", utf8Text, ""),
	}, "Binary content:\n  nomime (application/octet-stream)\n  pic (image/png; a=\"x;y\"; b=\"c\")\n" +
		"Empty attachments:\n  blank\n"},
	{"binary and traceback", []event.Event{
		attach("a.b", "pic", "image/png", "\x00"), attach("a.b", "traceback", utf8Text, "T"),
	}, "Binary content:\n  pic (image/png)\n\nT\n"},
	{"quotes within quotes", []event.Event{attach("a.b", "odd", `a/b; c="d\";\\e"; flag; c`, "x")},
		"Binary content:\n  odd (a/b; c=\"d\";\\e\")\n"},
	{"blank beyond ASCII", []event.Event{attach("a.b", "log", utf8Text, "\u2003x\u00a0\u3000\u0085")}, "log: {{{x}}}\n"},
	{"not blank", []event.Event{attach("a.b", "log", utf8Text, "漢")}, "log: {{{漢}}}\n"},
	{"no MIME type", []event.Event{attach("a.b", "odd", "rubbish", "x")}, "Binary content:\n  odd (rubbish)\n"},
	{"Latin-1", []event.Event{attach("a.b", "log", "text/plain", "caf\xe9")}, "log: {{{café}}}\n"},
	{"Latin-1 by name", []event.Event{attach("a.b", "log", "text/plain; charset=ISO-8859-1", "é")}, "log: {{{Ã©}}}\n"},
	{"UTF-8 by luck", []event.Event{attach("a.b", "log", "text/plain", "café")}, "log: {{{café}}}\n"},
	{"parameters joined by commas", []event.Event{
		attach("a.b", "log", "text/x-traceback;charset=latin1,language=python", "\xe9"),
	}, "log: {{{é}}}\n"},
	{"another test's file", []event.Event{attach("a.c", "log", utf8Text, "x")}, ""},
	{"same test, another route", []event.Event{
		packet(protocol.Packet{TestID: "a.b", Route: "1", FileName: "log", MIMEType: utf8Text, Content: []byte("x")}),
	}, ""},
}

func TestTextBlocks(t *testing.T) {
	for _, tt := range blockTests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			text := NewText(&out, TextOptions{})
			show(t, text, tt.files...)
			show(t, text, outcome("a.b", protocol.StatusFail, "t1", "worker-0"))
			want := blockRule + "FAIL: a.b\ntags: t1 worker-0\n" + headerRule + tt.want
			if diff := cmp.Diff(want, out.String()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTextOutcomes has one of each outcome: only what fails the run is shown,
// and the files of the others are forgotten.
func TestTextOutcomes(t *testing.T) {
	want := map[protocol.Status]string{
		protocol.StatusFail:      block("FAIL: x", "log: {{{once}}}"),
		protocol.StatusUxSuccess: block("UNEXPECTED SUCCESS: x", "log: {{{once}}}"),
	}
	for s := protocol.StatusExists; s <= protocol.StatusXFail; s++ {
		if s == protocol.StatusInProgress {
			continue
		}
		var out bytes.Buffer
		text := NewText(&out, TextOptions{})
		show(t, text, outcome("x", protocol.StatusInProgress), attach("x", "log", utf8Text, "once"), outcome("x", s))
		if diff := cmp.Diff(want[s], out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
		if n := len(text.files.tests); n != 0 || text.files.size != 0 {
			t.Errorf("%s: got files of %d tests, %d bytes; want none", s, n, text.files.size)
		}
	}
}

// TestTextLimits gives tests more than is kept (S21): the traceback is shown
// whatever else there is, and what is missing is told.
func TestTextLimits(t *testing.T) {
	var out bytes.Buffer
	text := NewText(&out, TextOptions{})
	log := strings.Repeat("x", 1<<20)
	for range 8 {
		show(t, text, attach("a", "log", utf8Text, log))
	}
	for i := range 100 {
		show(t, text, attach("a", fmt.Sprint("more", i), utf8Text, "x"))
	}
	show(t, text, attach("a", "traceback", utf8Text, "T"), outcome("a", protocol.StatusFail))
	kept := testLimit - tracebackReserve - fileOverhead - len("log") - len(utf8Text)
	tail := fmt.Sprintf("}}}\n\nT\n(%d bytes left out here; testr last --subunit has everything)\n", 8<<20+100-kept)
	if !strings.HasSuffix(out.String(), tail) {
		t.Errorf("got %q at the end; want %q", out.String()[max(0, out.Len()-100):], tail)
	}
	if got := out.Len(); got > testLimit {
		t.Errorf("got %d bytes; want at most %d", got, testLimit)
	}

	for i := range 100 {
		show(t, text, attach(fmt.Sprint("b", i), "log", utf8Text, log))
	}
	if text.files.size > allLimit {
		t.Errorf("got %d bytes kept of all; want at most %d", text.files.size, allLimit)
	}
	out.Reset()
	show(t, text, outcome("b99", protocol.StatusFail))
	want := block("FAIL: b99", "(1048576 bytes left out here; testr last --subunit has everything)")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("beyond the limit (-want +got):\n%s", diff)
	}
	for i := range 99 {
		show(t, text, outcome(fmt.Sprint("b", i), protocol.StatusSuccess))
	}
	if text.files.size != 0 {
		t.Errorf("got %d bytes kept at the end; want 0", text.files.size)
	}
}

// TestTextTerminal proves S3 where it matters most: on a terminal nothing of
// what others wrote gets through, and testr's own colours do.
func TestTextTerminal(t *testing.T) {
	const evil = "x\x1b]52;c;cm0gLXJmIH4K\x07\u202e\r\n\u009b2J"
	const shown = `x\x1b]52;c;cm0gLXJmIH4K\x07\u202e\r`
	var out bytes.Buffer
	text := NewText(&out, TextOptions{Terminal: true, Color: true})
	show(t, text,
		attach(evil, evil, utf8Text, evil), attach(evil, "pic", evil, "x"), attach(evil, "traceback", utf8Text, evil),
		outcome(evil, protocol.StatusFail, evil))
	line := shown + `\n\u009b2J`
	want := blockRule + "\x1b[31mFAIL\x1b[0m: " + line + "\ntags: " + line + "\n" + headerRule +
		"Binary content:\n  pic (x\\x1b]52)\n\n" +
		line + ": {{{\n" + shown + "\n\\u009b2J\n}}}\n\n" +
		shown + "\n\\u009b2J\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("on a terminal (-want +got):\n%s", diff)
	}

	out.Reset()
	text = NewText(&out, TextOptions{})
	show(t, text, outcome(evil, protocol.StatusFail))
	if diff := cmp.Diff(blockRule+"FAIL: "+evil+"\n"+headerRule, out.String()); diff != "" {
		t.Errorf("elsewhere (-want +got):\n%s", diff)
	}
}

func TestTextChatter(t *testing.T) {
	events := []event.Event{
		chat("0", "stderr", "one\ntwo"), chat("0", "stderr", " and a half\n"),
		chat("1", "stdout", "prompt> "), chat("0", "stderr", "caf\xc3"), chat("0", "stderr", "\xa9 \x1b[2J\r\n"),
		chat("", "coverage", "not for people"),
		{Kind: event.KindWarning, Detail: "two\vworkers"},
	}
	for _, tt := range []struct {
		name string
		opts TextOptions
		want string
	}{
		{"terminal, several workers", TextOptions{Terminal: true, ErrTerminal: true, Routes: true},
			"0: one\n0: two and a half\n1: prompt> \n0: café \\x1b[2J\\r\ntestr: warning: two\\x0bworkers\n"},
		{"terminal, one worker", TextOptions{Terminal: true, ErrTerminal: true},
			"one\ntwo and a half\nprompt> \ncafé \\x1b[2J\\r\ntestr: warning: two\\x0bworkers\n"},
		{"file, several workers", TextOptions{Routes: true},
			"0: one\n0: two and a half\n0: café \x1b[2J\r\ntestr: warning: two\vworkers\n"},
		{"file, one worker", TextOptions{},
			"one\ntwo and a half\ncafé \x1b[2J\r\ntestr: warning: two\vworkers\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			tt.opts.Err = &errs
			show(t, NewText(&out, tt.opts), events...)
			if diff := cmp.Diff(tt.want, errs.String()); diff != "" {
				t.Errorf("on Err (-want +got):\n%s", diff)
			}
			if out.Len() > 0 {
				t.Errorf("got %q on the main writer; want nothing", out.String())
			}
		})
	}

	var out bytes.Buffer
	show(t, NewText(&out, TextOptions{}), events...)
	if out.Len() > 0 {
		t.Errorf("without Err: got %q; want nothing", out.String())
	}
}

// TestTextOneScreen has everything on one screen: the status line goes before
// anything else is written, and an open line of chatter is ended first.
func TestTextOneScreen(t *testing.T) {
	var screen bytes.Buffer
	text := NewText(&screen, TextOptions{Terminal: true, Err: &screen, ErrTerminal: true})
	begin := time.Unix(1000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	step := func(want string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, screen.String()); diff != "" {
			t.Errorf("written (-want +got):\n%s", diff)
		}
		screen.Reset()
	}
	step("\r\x1b[K1 done, 0 failed, 0 running", text.Tick(at(0), Status{Done: 1}))
	step("", text.Tick(at(99), Status{Done: 2}))
	step("\r\x1b[K3 done, 0 failed, 0 running", text.Tick(at(100), Status{Done: 3}))
	step("", text.Tick(at(300), Status{Done: 3}))
	step("\r\x1b[K> ", text.Event(chat("", "stdout", "> ")))
	step("", text.Tick(at(400), Status{Done: 4}))
	step("? ", text.Event(chat("", "stdout", "? ")))
	step("", text.Tick(at(1300), Status{Done: 5}))
	step("", text.Tick(at(2299), Status{Done: 6}))
	step("\n\r\x1b[K7 done, 0 failed, 0 running", text.Tick(at(2300), Status{Done: 7}))
	step("\r\x1b[K> ", text.Event(chat("", "stdout", "> ")))
	step("\n"+blockRule+"FAIL: a\n"+headerRule, text.Event(outcome("a", protocol.StatusFail)))
	step("\r\x1b[K8 done, 1 failed, 0 running", text.Tick(at(3000), Status{Done: 8, Failed: 1}))
	step("\r\x1b[K", text.Close())
	step("", text.Close())
	step("\r\x1b[K9 done, 1 failed, 0 running", text.Tick(at(4000), Status{Done: 9, Failed: 1}))
	step("\r\x1b[KPASSED (id=0)\n", text.Summary(Summary{}))

	text = NewText(&screen, TextOptions{})
	step("", text.Tick(at(0), Status{Done: 1}))
}

func TestTextWriterErrors(t *testing.T) {
	text := NewText(brokenWriter{}, TextOptions{Terminal: true, Err: brokenWriter{}})
	for name, err := range map[string]error{
		"failure": text.Event(outcome("a", protocol.StatusFail)),
		"chatter": text.Event(chat("", "stderr", "x")),
		"warning": text.Event(event.Event{Kind: event.KindWarning, Detail: "x"}),
		"tick":    text.Tick(time.Unix(1, 0), Status{}),
		"summary": text.Summary(Summary{}),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: got %v; want %v", name, err, errBroken)
		}
	}
}

// FuzzText proves S3: whatever is in any field, nothing but plain text comes
// out on a terminal.
func FuzzText(f *testing.F) {
	for _, tt := range escapeTests {
		f.Add(tt.in, tt.in, []byte(tt.in), tt.in, tt.in)
	}
	f.Fuzz(func(t *testing.T, id, name string, content []byte, mime, other string) {
		var out bytes.Buffer
		text := NewText(&out, TextOptions{Terminal: true, Err: &out, ErrTerminal: true, Routes: true})
		file := protocol.Packet{Has: protocol.HasFile | protocol.HasTestID, TestID: id, FileName: name,
			MIMEType: mime, Content: content, Route: other}
		failed := file
		failed.Status, failed.Tags = protocol.StatusFail, []string{other, name}
		open := event.Test{ID: id, Route: other, Tags: []string{other}, Open: true}
		show(t, text, packet(file), packet(failed), packet(file),
			chat(other, "stderr", string(content)), chat(id, "stdout", string(content)),
			event.Event{Kind: event.KindWarning, Detail: other},
			event.Event{Kind: event.KindInterrupted, Detail: other})
		err := text.Summary(Summary{Tests: []*event.Test{&open, {ID: name, Asked: true, NotRun: other}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteIDs(&out, []string{id, other}, true); err != nil {
			t.Fatal(err)
		}
		if err := WriteSlowest(&out, []Timing{{ID: id}, {ID: other}}, true); err != nil {
			t.Fatal(err)
		}
		now := time.Unix(9, 0)
		line := statusLine(now, Status{Width: 40, Running: []Running{{Test: id, Route: other, Since: now}}})
		if n := columns(line); n >= 40 || strings.ContainsAny(line, "\n\t") {
			t.Errorf("status line: got %q of %d columns; want one line of fewer than 40", line, n)
		}
		out.WriteString(line)
		checkPlain(t, out.String())
	})
}

// BenchmarkText40k shows the 40,000 events of 20,000 tests, one in a hundred
// of which fails with a log and a traceback.
func BenchmarkText40k(b *testing.B) {
	var events []event.Event
	for i := range 20000 {
		id := fmt.Sprintf("nova.tests.unit.compute.test_manager.ManagerTestCase.test_instance_%05d", i)
		events = append(events, outcome(id, protocol.StatusInProgress))
		status := protocol.StatusSuccess
		if i%100 == 0 {
			status = protocol.StatusFail
			events = append(events, attach(id, "pythonlogging:''", utf8Text, strings.Repeat("a line of log\n", 100)),
				attach(id, "traceback", utf8Text, strings.Repeat("  File \"x.py\", line 12, in y\n", 20)))
		}
		events = append(events, outcome(id, status, "worker-0"))
	}
	b.ReportAllocs()
	for b.Loop() {
		text := NewText(io.Discard, TextOptions{Terminal: true, Color: true})
		for _, e := range events {
			if err := text.Event(e); err != nil {
				b.Fatal(err)
			}
		}
	}
}
