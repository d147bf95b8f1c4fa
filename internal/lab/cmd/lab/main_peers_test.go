//go:build peers

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the command prints is what one can do.
func TestRun(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	stdinR, stdin := io.Pipe()
	stdoutR, stdout, err := os.Pipe() // which has room for all that is written
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		err := run(t.Context(), []string{"-hosts", "2"}, stdinR, stdout, io.Discard)
		_ = stdout.Close()
		ended <- err
	}()
	var text bytes.Buffer
	for !strings.Contains(text.String(), "ss -tn\n") {
		if _, err := io.CopyN(&text, stdoutR, 1); err != nil {
			t.Fatalf("got %v after\n%s", err, &text)
		}
	}
	commands := regexp.MustCompile(`(?m)^  ((?:ssh|ip) .*)$`).FindAllStringSubmatch(text.String(), -1)
	if len(commands) != 7 {
		t.Errorf("got %d commands in\n%s\nwant 7", len(commands), &text)
	}
	for _, c := range commands {
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", c[1]).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", c[1], err, out)
		}
	}
	if n := strings.Count(text.String(), "\n[instance host"); n != 2 {
		t.Errorf("got %d sections in\n%s\nwant 2", n, &text)
	}
	_ = stdin.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	namespace := regexp.MustCompile(`ip netns pids (\S+)`).FindStringSubmatch(text.String())[1]
	if _, err := os.Stat("/run/netns/" + namespace); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for %s; want it taken away", err, namespace)
	}
	if left, _ := filepath.Glob(os.Getenv("TMPDIR") + "/*"); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdinR, stdin := io.Pipe()
	defer func() { _ = stdin.Close() }()
	if err := run(ctx, []string{"-hosts", "1"}, stdinR, cancelAfter(cancel), io.Discard); err != nil {
		t.Error(err)
	}
}

// cancelAfter is a Writer that calls cancel at what is written first.
type cancelAfter func()

func (c cancelAfter) Write(p []byte) (int, error) {
	c()
	return len(p), nil
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{"-hosts", "x"}, {"-no-such"}, {"word"}} {
		if err := run(t.Context(), args, nil, io.Discard, io.Discard); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
	if err := run(t.Context(), []string{"-h"}, nil, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v; want %v", err, flag.ErrHelp)
	}
}
