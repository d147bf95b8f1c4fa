package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"testr/internal/event"
	"testr/internal/repo"
	"testr/internal/runner"
)

// TestSlowOutput: who has something to tell beside the run, such as that an
// instance can't be given back, doesn't wait for whoever reads the results; what
// was told is shown all the same, and before the end.
func TestSlowOutput(t *testing.T) {
	dir := t.TempDir()
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	w, err := r.Begin(repo.RunInfo{Start: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	var errOut bytes.Buffer
	env := newEnvironment(nil, writer, &errOut)
	env.signals = &signals{}
	f := newFollower(env, streamOptions{}, nil, true)
	env.follower.Store(f)
	f.begin(w)
	for _, e := range hostEvents() {
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := reader.Read(make([]byte, 1)); err != nil { // what is shown is on its way
		t.Fatal(err)
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		f.warn(errors.New("it can't be given back"))
		f.progress("desktop", "has the source tree", true)
		env.log.Warn("logged")
	}()
	select {
	case <-told:
	case <-time.After(patience):
		t.Fatal("who has something to tell waits for the output")
	}
	if err := w.Event(event.Event{Kind: event.KindWarning, Detail: "late"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(repo.End{State: repo.Finished}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	if err := f.end(r, runner.Result{Run: w.ID(), Recorded: true, Outcomes: w.Outcomes()}, nil); err != nil {
		t.Errorf("show the run: %v", err)
	}
	f.warn(errors.New("afterwards"))
	for _, text := range []string{"testr: warning: it can't be given back\n", "testr: desktop has the source tree\n",
		"logged", "testr: warning: late\n", "testr: warning: afterwards\n"} {
		if n := strings.Count(errOut.String(), text); n != 1 {
			t.Errorf("got %q %d times on stderr; want it once:\n%s", text, n, errOut.String())
		}
	}
}
