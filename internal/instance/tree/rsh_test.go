package tree

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testr/internal/instance"
)

// fakeRsync is an instance that has a shell script for rsync.
func fakeRsync(t *testing.T, script string) instance.Instance {
	t.Helper()
	dir := toolDir(t, "rsync")
	files{"rsync": "+#!/bin/sh\n" + script}.write(t, dir)
	return newPair(t, way{env: []string{"PATH=" + dir}}).inst
}

// ServeRsh connects the command that rsync wants with standard files, binary
// both ways and of any size, and passes its exit status on.
func TestServeRsh(t *testing.T) {
	big := strings.Repeat("\x00\xff\r\n", 500_000)
	tests := []struct {
		name, script string
		args         []string
		stdin        string
		want         string
		status       int
		err, thereIs string // of ServeRsh and of the bridge
	}{
		{name: "both ways", script: "cat", stdin: big, want: big},
		{name: "arguments", script: `for a; do printf '[%s]' "$a"; done`, args: []string{"-e.x", "$(touch y)", "a\nb"},
			want: "[--server][-e.x][$(touch y)][a\nb]"},
		{name: "input not read", script: "echo hello", stdin: big, want: "hello\n"},
		{name: "exit status", script: "echo why >&2; exit 12", status: 12, thereIs: "exit status 12: why"},
		{name: "signal", script: "kill -9 $$", status: 255, thereIs: "SIGKILL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := newThere(fakeRsync(t, tt.script), ".").listen(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(b.listener.Addr().String()); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("got %v, %v; want a socket for us alone", info.Mode(), err)
			}
			var stdout bytes.Buffer
			args := append([]string{b.listener.Addr().String(), rsyncHost, "rsync", "--server"}, tt.args...)
			status, err := ServeRsh(args, strings.NewReader(tt.stdin), &stdout)
			if status != tt.status || err != nil || stdout.String() != tt.want {
				t.Errorf("got %d, %v and %d bytes; want %d and %d bytes", status, err, stdout.Len(), tt.status, len(tt.want))
			}
			if err := b.close(); (err == nil) != (tt.thereIs == "") || err != nil && !strings.Contains(err.Error(), tt.thereIs) {
				t.Errorf("got %v; want %q", err, tt.thereIs)
			}
		})
	}
}

// Nothing but rsync's server is run for it, one time.
func TestServeRshRefused(t *testing.T) {
	for _, args := range [][]string{
		{rsyncHost, "sh", "-c", "touch y"}, {rsyncHost, "rsync"}, {"-l", "user", rsyncHost, "rsync", "--server"}, {rsyncHost},
		{rsyncHost, "rsync", "--server", strings.Repeat("x", maxCommand)},
	} {
		b, err := newThere(fakeRsync(t, "cat"), ".").listen(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		socket := b.listener.Addr().String()
		status, err := ServeRsh(append([]string{socket}, args...), strings.NewReader(""), io.Discard)
		if status != lostStatus || err == nil {
			t.Errorf("%.50q: got %d, %v; want it refused", args, status, err)
		}
		status, err = ServeRsh([]string{socket, rsyncHost, "rsync", "--server"}, nil, nil)
		if status != lostStatus || err == nil {
			t.Errorf("the second one: got %d, %v; want no connection", status, err)
		}
		if err := b.close(); err == nil {
			t.Errorf("%.50q: got no error", args)
		}
	}
	if status, err := ServeRsh(nil, nil, nil); status != lostStatus || err == nil {
		t.Errorf("without arguments: got %d, %v", status, err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := newThere(fakeRsync(t, "cat"), ".").listen(t.Context(), long)
	if err != nil {
		t.Fatalf("got %v; want a socket elsewhere", err)
	}
	if b.dir == nil {
		t.Fatal("the socket is not elsewhere")
	}
	dir := b.dir.Path()
	if err := b.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v of %q; want it removed", err, dir)
	}
}

// A bridge that is closed ends the command and its connection.
func TestBridgeClose(t *testing.T) {
	b, err := newThere(fakeRsync(t, "echo ready; exec cat"), ".").listen(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	ready, stdout := io.Pipe()
	stdin, input := io.Pipe()
	defer func() { _ = input.Close() }()
	go func() {
		_, err := ServeRsh([]string{b.listener.Addr().String(), rsyncHost, "rsync", "--server"}, stdin, stdout)
		ended <- err
	}()
	if _, err := io.ReadFull(ready, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	_ = b.close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("got no error from a connection that was cut")
		}
	case <-time.After(20 * time.Second):
		t.Error("ServeRsh goes on")
	}
}

func TestReadFrames(t *testing.T) {
	for _, tt := range []string{
		"", "o\x05\x00\x00\x00ab", "z\x00\x00\x00\x00", "o\xff\xff\xff\xff", "x\x02\x00\x00\x00ab", "x\x01\x00\x00\x00",
	} {
		var out bytes.Buffer
		r := bufio.NewReader(strings.NewReader(tt))
		if status, err := readFrames(r, &out); err == nil || status != lostStatus && tt != "x\x01\x00\x00\x00" {
			t.Errorf("%q: got %d, %v; want an error", tt, status, err)
		}
	}
}

func TestQuoteRsh(t *testing.T) {
	got := quoteRsh([]string{"/a b/testr", "rsh", `it's "x"`})
	if want := `'/a b/testr' 'rsh' 'it''s "x"'`; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}
