package sshhost

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/crypto/ssh"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/lab"
)

// The line with which a command begins is found, however the stream is cut into
// pieces, and taken out of it.
func TestOpening(t *testing.T) {
	const token = "0123456789abcdef"
	long := strings.Repeat("noise ", maxNoise/5)
	tests := []struct {
		name, input, stdout, stderr, text string
	}{
		{"nothing before", token + " pid 7\nout", "out", "out", "pid 7"},
		{"noise", "noise\n" + token + " pid 7\nout", "out", "noise\nout", "pid 7"},
		{"noise without an end", "noise> " + token + " pid 7\nout\n", "out\n", "noise> out\n", "pid 7"},
		{"almost the token", "0123" + token[:8] + token + "\nout", "out", "012301234567out", ""},
		{"twice", token + " a\n" + token + " b\n", token + " b\n", token + " b\n", "a"},
		{"never", "not allowed\n", "not allowed\n", "not allowed\n", ""},
		{"cut off", "x" + token, "x" + token, "x" + token, ""},
		{"much noise", long + token + " pid 7\nout", "out", long + "out", "pid 7"},
		{"an endless line", token + " " + strings.Repeat("x", 2*maxLine) + "\nout", "out", "out", ""},
	}
	for _, tt := range tests {
		for _, cut := range []string{"whole", "bytes"} {
			for _, keep := range []bool{false, true} {
				var r io.Reader = strings.NewReader(tt.input)
				if cut == "bytes" {
					r = iotest.OneByteReader(r)
				}
				want, text := tt.stdout, ""
				var heed func(string)
				if keep {
					want, heed = tt.stderr, func(s string) { text = s }
				}
				s := newStream()
				go s.pump(r, token, heed)
				got, err := io.ReadAll(s)
				if tt.name == "an endless line" {
					got, text = got[max(0, len(got)-3):], ""
				}
				if err != nil || string(got) != want || keep && text != tt.text {
					t.Errorf("%s, %s, keep=%t: got %.80q, %q, %v; want %.80q, %q", tt.name, cut, keep, got, text, err, want, tt.text)
				}
			}
		}
	}
}

// changed is a Conn that has other commands run than is asked for.
type changed struct {
	Conn
	change func(string) string
}

func (c changed) OpenChannel(name string, data []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	channel, requests, err := c.Conn.OpenChannel(name, data)
	return changedChannel{channel, c.change}, requests, err
}

type changedChannel struct {
	ssh.Channel
	change func(string) string
}

func (c changedChannel) SendRequest(name string, wantReply bool, payload []byte) (bool, error) {
	var request struct{ Command string }
	if name == "exec" && ssh.Unmarshal(payload, &request) == nil {
		request.Command = c.change(request.Command)
		payload = ssh.Marshal(request)
	}
	return c.Channel.SendRequest(name, wantReply, payload)
}

// change has a host's commands changed.
func change(dial func(context.Context) (Conn, error), change func(string) string) func(context.Context) (Conn, error) {
	return func(ctx context.Context) (Conn, error) {
		c, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return changed{c, change}, nil
	}
}

// A login shell may say what it likes.
func TestNoise(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	i := instancetest.One(t, host(t, srv, Config{Dial: change(dialer(t, srv), func(request string) string {
		return "printf 'welcome\nto > '; printf 'a warning\n' >&2; " + request
	})}))
	got := instancetest.Output(t, i, instancetest.Program(t, "echo"), []byte("hello"))
	if want := (instancetest.Result{Stdout: "hello", Stderr: "a warning\n"}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

// A login shell that lets nobody in says so.
func TestNoShell(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	h := host(t, srv, Config{Dial: change(dialer(t, srv), func(string) string {
		return "echo 'This account is currently not available.'; exit 1"
	})})
	err := h.Connect(t.Context())
	if err == nil || !strings.Contains(err.Error(), "currently not available") {
		t.Errorf("got %v; want it to have what the shell said", err)
	}
	refuse := false
	h = host(t, srv, Config{Dial: change(dialer(t, srv), func(request string) string {
		if refuse {
			return "echo 'No more.' >&2; exit 3"
		}
		return request
	})})
	i := instancetest.One(t, h)
	refuse = true
	p := instancetest.Start(t.Context(), t, i, instance.Command{Args: []string{"true"}})
	if lost := awaitLost(t, p); !strings.Contains(lost, "exit status 3") {
		t.Errorf("got %v; want the shell's status", lost)
	}
}

// A command whose shell hangs before it begins can be ended.
func TestShellHangs(t *testing.T) {
	t.Parallel()
	srv := server(t, lab.ServerOptions{})
	hang := false
	h := host(t, srv, Config{Grace: 1, Dial: change(dialer(t, srv), func(request string) string {
		if hang {
			return "cat >/dev/null; " + request // until its input ends
		}
		return request
	})})
	i := instancetest.One(t, h)
	hang = true
	ctx, cancel := context.WithCancel(t.Context())
	p := instancetest.Start(ctx, t, i, instance.Command{Args: []string{"touch", "canary"}})
	cancel()
	if r, err := instancetest.FinishReading(p); err == nil {
		t.Errorf("got %+v; want an error: it never ran", r)
	}
	awaitNoFile(t, srv.Home()+"/canary")
}

// A slow reader gets all that a command wrote, though something else holds its
// streams.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const size = 2<<20 - 100 // what fits a window, or else the command would wait
	srv := server(t, lab.ServerOptions{})
	i := instancetest.One(t, host(t, srv, Config{}))
	p, _ := instancetest.StartLeaving(t, i, "setsid", "hold", size)
	instancetest.AwaitReady(t, p)
	if _, err := p.Stdin().Write([]byte("end\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil { // the end of the command has come before most of its output
		t.Fatal(err)
	}
	var got []byte
	var err error
	for piece := make([]byte, 256<<10); err == nil; {
		n := 0
		n, err = io.ReadFull(p.Stdout(), piece)
		got = append(got, piece[:n]...)
		<-time.After(2 * lookTime)
	}
	if want := string(instancetest.Pattern(size)) + "last words\n"; string(got) != want {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
	if r, err := instancetest.FinishReading(p); err != nil || !r.Status.Success() {
		t.Errorf("got %+v, %v; want success", r, err)
	}
}
