package worker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"testr/internal/protocol"
)

// checkCommand is a command for Check that runs this test binary, as
// TestCheckDouble.
func checkCommand(t *testing.T, args ...string) CheckConfig {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return CheckConfig{
		Args:    append([]string{self, "-test.run=^TestCheckDouble$", "--"}, args...),
		Env:     []string{"TESTR_CHECK_DOUBLE=1", "GORACE=atexit_sleep_ms=0"},
		Timeout: time.Minute,
	}
}

// TestCheckDouble is no test, but the worker that the tests of Check start.
func TestCheckDouble(*testing.T) {
	if os.Getenv("TESTR_CHECK_DOUBLE") == "" {
		return
	}
	os.Exit(runCheckDouble(flag.Args()))
}

func runCheckDouble(args []string) int {
	list := args[len(args)-1] == "--list"
	var err error
	switch args[0] {
	case "go":
		rest := args[2:]
		err = RunGo(context.Background(), GoConfig{
			Args: rest[:len(rest)-map[bool]int{true: 1}[list]], BuildDir: args[1], List: list,
			Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		})
	case "tap":
		rest := args[1:]
		err = RunTap(context.Background(), TapConfig{
			Args: rest[:len(rest)-map[bool]int{true: 1}[list]], List: list, Stdin: os.Stdin, Stdout: os.Stdout,
		})
	default:
		d := &checkDouble{breaks: args[0], tests: []string{"a", "b", "c"}, ran: make(map[string]int)}
		if list {
			return d.list()
		}
		return d.serve()
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

// checkDouble is a worker that keeps every rule but the one that it is to break.
type checkDouble struct {
	breaks string
	tests  []string
	ran    map[string]int
	failed bool
	ended  bool // there are no more tests
}

func (d *checkDouble) list() int {
	for _, id := range d.tests {
		p := checkRequest(id)
		p.Runnable = d.breaks != "list-ids: not runnable" || id != "b"
		d.send(p)
	}
	switch d.breaks {
	case "list-once":
		d.send(checkRequest("b"))
	case "list-ids: unknown":
		d.send(checkRequest("z"))
	case "list-ids: no id":
		d.send(&protocol.Packet{Status: protocol.StatusExists, Runnable: true})
	case "list-exit":
		return 4
	case "list-exit: never":
		hang()
	case "clean-stream: listing":
		_, _ = os.Stdout.WriteString(checkGarbage)
	}
	return 0
}

// checkGarbage begins like a packet.
const checkGarbage = "\xb3\x29\x01\x0c\x03foo\x08\x55\x5f\x1c"

func (d *checkDouble) send(p *protocol.Packet) {
	b, err := protocol.AppendPacket(nil, p)
	if err == nil {
		_, err = os.Stdout.Write(b)
	}
	if err != nil {
		os.Exit(9)
	}
}

func hang() { <-time.After(10 * time.Minute) }

// serve takes what was written at once together, so that it can give tests back.
func (d *checkDouble) serve() int {
	if d.breaks == "only-asked: early" {
		d.run("b")
	}
	var data []byte
	buffer := make([]byte, 64<<10)
	for !d.ended {
		n, err := os.Stdin.Read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		data = append(data, buffer[:n]...)
		var packets []*protocol.Packet
		for len(data) > 0 {
			p, size, err := protocol.ParsePacket(data)
			if errors.Is(err, io.ErrUnexpectedEOF) && d.breaks != "half-packets" {
				break
			}
			if err != nil {
				data = nil
				break
			}
			packets, data = append(packets, p), data[size:]
		}
		d.batch(packets)
	}
	switch {
	case d.breaks == "end-of-stdin" && !d.ended:
		hang()
	case d.breaks == "exit-status" && d.failed:
		return 1
	}
	return 0
}

func (d *checkDouble) batch(packets []*protocol.Packet) {
	var queue []string
	for _, p := range packets {
		switch {
		case p.Has&protocol.HasRoute != 0 && d.breaks == "route-code":
		case p.TestID != "" && p.Status == protocol.StatusExists && (p.Runnable || d.breaks == "pass-over: runs"):
			queue = append(queue, p.TestID)
		case p.TestID != "" && p.Status == protocol.StatusSkip:
			queue = d.back(queue, p.TestID)
		case p.Has&(protocol.HasTestID|protocol.HasFile) == 0 && p.EOF:
			d.ended = d.breaks != "end-packet"
			if d.breaks == "end-packet: at once" {
				os.Exit(0)
			}
		case p.FileName == stdinName:
			if d.breaks == "stdin-file" && p.EOF || d.breaks == "stdin-file: content" && len(p.Content) > 0 {
				os.Exit(0)
			}
		case d.breaks == "pass-over":
			os.Exit(5)
		}
	}
	switch d.breaks {
	case "one-write":
		if len(queue) > 1 {
			os.Exit(7)
		}
	case "order":
		slices.Reverse(queue)
	case "one-at-a-time":
		for _, id := range queue {
			d.send(d.packet(id, protocol.StatusInProgress))
		}
	}
	for _, id := range queue {
		d.run(id)
	}
}

// back gives a test back.
func (d *checkDouble) back(queue []string, id string) []string {
	at := slices.Index(queue, id)
	answer := checkRequest(id)
	switch {
	case at < 0 && d.breaks != "nothing-to-give":
		return queue
	case d.breaks == "give-back: keeps":
		d.send(answer)
		return queue
	case d.breaks == "give-back: silent":
	case d.breaks == "give-back: runs":
		d.send(answer)
		d.send(d.packet(id, protocol.StatusInProgress))
		d.send(answer)
	default:
		d.send(answer)
	}
	if at >= 0 {
		queue = slices.Delete(queue, at, at+1)
	}
	return queue
}

func (d *checkDouble) packet(id string, status protocol.Status) *protocol.Packet {
	p := &protocol.Packet{
		Has: protocol.HasTestID | protocol.HasTime, TestID: id, Status: status, Time: time.Now(), Runnable: true,
	}
	if d.breaks == "begin: no time" && status == protocol.StatusInProgress ||
		d.breaks == "outcome: no time" && status.Final() {
		p.Has, p.Time = protocol.HasTestID, time.Time{}
	}
	return p
}

func (d *checkDouble) run(id string) {
	d.ran[id]++
	switch {
	case !slices.Contains(d.tests, id):
		d.unknown(id)
		return
	case d.breaks == "again" && d.ran[id] > 1:
		return
	case d.breaks == "in-time":
		hang()
	case d.breaks == "in-time: dies":
		os.Exit(6)
	case d.breaks == "clean-stream":
		_, _ = os.Stdout.WriteString(checkGarbage)
	case d.breaks == "only-asked: more":
		d.send(d.packet("c", protocol.StatusInProgress))
		d.send(d.packet("c", protocol.StatusSuccess))
		if id == "c" {
			return
		}
	}
	if d.breaks != "begin" && d.breaks != "one-at-a-time" {
		d.send(d.packet(id, protocol.StatusInProgress))
		d.send(d.packet(id, protocol.StatusInProgress)) // set-up is done
	}
	_, _ = os.Stdout.WriteString("text\n")
	d.send(&protocol.Packet{
		Has: protocol.HasTestID | protocol.HasParent | protocol.HasTime, TestID: id + " (part)", ParentID: id,
		Status: protocol.StatusFail, Time: time.Now(),
	})
	end := d.packet(id, protocol.StatusFail)
	end.Runnable = d.breaks != "runnable"
	d.send(end)
	if d.breaks == "outcome" {
		d.send(end)
	}
}

func (d *checkDouble) unknown(id string) {
	d.failed = true
	p := d.packet(id, protocol.StatusFail)
	p.Runnable = d.breaks == "unknown-test: runnable"
	if d.breaks != "unknown-test: no file" {
		p.Has |= protocol.HasFile
		p.FileName = "unknown-test"
	}
	switch d.breaks {
	case "unknown-test: passes":
		p.Status = protocol.StatusSuccess
	case "unknown-test: silent":
		return
	}
	d.send(p)
}
