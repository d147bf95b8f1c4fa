package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"testr/internal/protocol"
	"testr/internal/worker"
)

var secondsPattern = regexp.MustCompile(`\d+\.\d{3}s`)

// testDouble is a test command that needs nothing. Its tests are the lines of
// the file "tests", where \n stands for a newline; what a test does is in its
// name, at "run". If there is a directory "pids", it and its children leave
// their process ids there. PROFILE in its environment is what tests that go with only
// one look for. PLACE in its environment says where it is, CLOCK how
// far its clock is off. It takes
//
//	--list            lists the tests
//	--load-list FILE  runs the tests in FILE
//	--stream          is a streaming worker
//	--exit N          exits with N in the end
//	--say TEXT        writes TEXT to stderr at the beginning
//	ID...             runs these tests
//
// and without any of these it runs all tests.
func testDouble(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	d := double{w: protocol.NewWriter(stdout), out: stdout, err: stderr}
	leavePID(os.Getpid())
	tests, err := fileLines("tests", "m.C.test_pass")
	for i := range tests {
		tests[i] = strings.ReplaceAll(tests[i], `\n`, "\n")
	}
	mode := ""
	var named []string
	for len(args) > 0 && err == nil {
		switch arg := args[0]; arg {
		case "--list", "--stream":
			mode = arg
		case "--load-list":
			args = args[1:]
			tests, err = fileLines(args[0])
		case "--exit":
			args = args[1:]
			_, err = fmt.Sscan(args[0], &d.exit)
		case "--say":
			args = args[1:]
			_, _ = fmt.Fprintln(stderr, args[0])
		default:
			named = append(named, arg)
		}
		args = args[1:]
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "test-double:", err)
		return 9
	}
	if named != nil {
		tests = named
	}
	switch mode {
	case "--list":
		for _, id := range tests {
			d.send(protocol.Packet{TestID: id, Status: protocol.StatusExists, Runnable: true})
		}
	case "--stream":
		err = worker.Serve(context.Background(), untilEnd{stdin}, stdout,
			func(_ context.Context, req worker.Request, w *protocol.Writer) error {
				d.w = w
				if slices.Contains(tests, req.TestID) {
					d.run(req.TestID)
				} else {
					d.send(protocol.Packet{TestID: req.TestID, Status: protocol.StatusFail, FileName: "unknown-test"})
				}
				return nil
			})
	default:
		for _, id := range tests {
			d.run(id)
		}
	}
	if err != nil {
		return 8
	}
	return d.exit
}

type double struct {
	w        *protocol.Writer
	out, err io.Writer
	exit     int
}

func (d *double) send(p protocol.Packet) {
	p.Has |= protocol.HasTestID | protocol.HasTime
	off, _ := time.ParseDuration(os.Getenv("CLOCK"))
	p.Time = time.Now().UTC().Add(off)
	if p.FileName != "" {
		p.Has |= protocol.HasFile | protocol.HasMIME
		p.MIMEType = "text/plain;charset=utf8"
	}
	if p.ParentID != "" {
		p.Has |= protocol.HasParent
	}
	if err := d.w.WritePacket(&p); err != nil {
		_, _ = fmt.Fprintln(d.err, "test-double:", err)
	}
}

// run does what the name of a test says.
func (d *double) run(id string) {
	has := func(what string) bool { return strings.Contains(id, what) }
	d.send(protocol.Packet{TestID: id, Status: protocol.StatusInProgress, Runnable: true})
	p := protocol.Packet{TestID: id, Status: protocol.StatusSuccess, Runnable: true}
	if has("parent") {
		d.send(protocol.Packet{TestID: id + " (i=1)", ParentID: id, Status: protocol.StatusFail,
			FileName: "traceback", Content: []byte("the part is broken\n")})
	}
	round := 0
	if has("flaky") || has("third") {
		round = times(id)
	}
	switch {
	case has("only_") && !strings.HasSuffix(id, "only_"+os.Getenv("PROFILE")):
		p.Status, p.FileName = protocol.StatusFail, "traceback"
		p.Content = []byte("it doesn't go with " + os.Getenv("PROFILE") + "\n")
	case has("fixed"):
		if _, err := os.Stat("mended"); err != nil {
			p.Status, p.FileName, p.Content = protocol.StatusFail, "traceback", []byte("broken still\n")
		}
	case has("flaky") && round == 1:
		p.Status, p.FileName, p.Content = protocol.StatusFail, "traceback", []byte("it went wrong once\n")
	case has("third") && round == 3:
		p.Status, p.FileName, p.Content = protocol.StatusFail, "traceback", []byte("it went wrong the third time\n")
	case has("fail"):
		p.Status, p.FileName, p.Content = protocol.StatusFail, "traceback", []byte("it went wrong in "+id+"\n")
	case has("skip"):
		p.Status, p.FileName, p.Content = protocol.StatusSkip, "reason", []byte("not today")
	case has("xfail"):
		p.Status = protocol.StatusXFail
	case has("unexpected"):
		p.Status = protocol.StatusUxSuccess
	case has("killed"):
		_, _ = io.WriteString(d.err, "about to die\n")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		hang()
	case has("exits"):
		os.Exit(7)
	case has("garbage"):
		_, _ = d.out.Write([]byte("\xb3\x29\x01\x0c\x03foo\x08\x55\x5f\x1c"))
	case has("escape"):
		p.Status, p.FileName, p.Content = protocol.StatusFail, "traceback", []byte("\x1b]52;c;aGFja2Vk\x07\n")
	case has("prints"):
		_, _ = io.WriteString(d.out, "chatter on stdout\n")
		_, _ = io.WriteString(d.err, "chatter on stderr\n")
	case has("sleeps"):
		hang()
	case has("waits"):
		waitForGo()
	case has("takes"):
		take(id)
	case has("holds"):
		hold(id)
	case has("meets"):
		meet(id)
	case has("forks"):
		d.fork()
	case has("closes"):
		_ = syscall.Close(1)
		hang()
	case has("floods"):
		line := []byte(strings.Repeat("chatter ", 127) + "chatter\n")
		for range 4 << 10 {
			_, _ = d.out.Write(line)
		}
	case has("bulky"):
		noise := make([]byte, 256<<10)
		_, _ = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%032s", id[max(0, len(id)-32):])))).Read(noise)
		d.send(protocol.Packet{TestID: id, FileName: "noise", Content: noise})
		p.Status, p.FileName, p.Content = protocol.StatusFail, "traceback", []byte("too much noise\n")
	case has("secret"):
		p.Status, p.FileName = protocol.StatusFail, "traceback"
		p.Content = []byte("the secret is " + os.Getenv("CANARY_TOKEN") + "\n")
	}
	d.send(p)
}

// times is how often a test was run in this directory, this time included.
func times(id string) int {
	f, err := os.OpenFile("times-"+id, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write([]byte{'x'}); err != nil {
		return 0
	}
	n, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0
	}
	return int(n)
}

// untilEnd says, by the file "no-more", that the supervisor has no more tests.
type untilEnd struct{ io.Reader }

func (r untilEnd) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		_ = os.WriteFile("no-more", nil, 0o600)
	}
	return n, err
}

// fork leaves a grandchild behind that has our stdout and stderr.
func (d *double) fork() {
	cmd := exec.Command("sleep", "600")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		_, _ = fmt.Fprintln(d.err, "test-double:", err)
		return
	}
	leavePID(cmd.Process.Pid)
}

// leavePID lets whoever looks for leftovers know of a process.
func leavePID(pid int) {
	_ = os.WriteFile(filepath.Join("pids", strconv.Itoa(pid)), nil, 0o600) // without the directory, nobody looks
}

// waitForGo says, by the file "begun", that a test has begun, and lets it end
// when there is a file "go".
func waitForGo() {
	_ = os.WriteFile("begun", nil, 0o600)
	waitFor(func() bool { return there("go") })
}

// take is a test that takes as many milliseconds as its id ends with.
func take(id string) {
	ms, _ := strconv.Atoi(id[strings.LastIndexByte(id, '_')+1:])
	<-time.After(time.Duration(ms) * time.Millisecond)
}

// hold says, by a file "holds.ID.PLACE", where a test has begun, and lets it end
// when there is a file "go" or "go.PLACE".
func hold(id string) {
	place := os.Getenv("PLACE")
	_ = os.WriteFile("holds."+id+"."+place, nil, 0o600)
	waitFor(func() bool { return there("go") || there("go."+place) })
}

// meet lets a test end when as many of its kind have begun as the file "meet"
// says.
func meet(id string) {
	_ = os.WriteFile("met."+id, nil, 0o600)
	wanted, _ := fileLines("meet")
	waitFor(func() bool {
		met, _ := filepath.Glob("met.*")
		return strconv.Itoa(len(met)) == strings.Join(wanted, "")
	})
}

func there(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// waitFor waits for a state, as long as any test could.
func waitFor(reached func() bool) {
	for give := time.After(10 * time.Minute); ; {
		if reached() {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-give:
			return
		}
	}
}

// hang is a test that does not end by itself in any time that a test waits for.
func hang() { <-time.After(10 * time.Minute) }
