package repo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// childPower makes a repository, stores runs in it, and says what is done.
func childPower(dir string) int {
	runs, err := strconv.Atoi(os.Getenv("TESTR_REPO_RUNS"))
	if err == nil {
		err = Init(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = fmt.Fprintln(os.Stdout, "init")
	r, err := Open(dir)
	for i := 0; i < runs && err == nil; i++ {
		if i%3 == 2 { // and now and then it is opened again
			if err = r.Close(); err == nil {
				r, err = Open(dir)
			}
		}
		if err == nil {
			err = powerRun(r)
		}
	}
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// powerRun stores a run with a commit every few events, of which some are large,
// and says how far it is.
func powerRun(r *Repository) error {
	w, err := r.Begin(RunInfo{})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(os.Stdout, "run %d\n", w.ID())
	for i := 0; i < 60 && err == nil; i++ {
		e := childEvent(i)
		if i == 41 {
			e = file("big", "log", noise(100<<10))
		}
		if err = w.Event(e); err == nil && i%5 == 4 {
			if err = w.Sync(); err == nil {
				_, _ = fmt.Fprintln(os.Stdout, i)
			}
		}
	}
	if _, closing := w.Close(End{State: Finished}); err == nil && closing == nil {
		_, _ = fmt.Fprintln(os.Stdout, "closed")
	} else {
		err = errors.Join(err, closing)
	}
	return err
}

// lived is how a life of a repository ended.
type lived struct {
	Run    int
	Synced uint64
	Closed bool
	Err    string
}

// childLife lives once, and says how that ended.
func childLife(dir string) int {
	var f fullRun
	err := f.live(dir, func() {})
	l := lived{Run: f.run, Synced: f.synced, Closed: f.closed}
	if err != nil {
		l.Err = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(l); err != nil {
		return 1
	}
	return 0
}

// flooded is what became of a writer that got events as fast as it took them.
type flooded struct{ Events, Waiting int }

func childFlood(dir string) int {
	var f flooded
	r, err := Open(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	w, err := r.Begin(RunInfo{})
	for ; err == nil && f.Events < 300; f.Events++ {
		err = w.Event(file("flood", "log", noise(32<<10)))
		w.mu.Lock()
		f.Waiting = max(f.Waiting, w.size)
		w.mu.Unlock()
	}
	if err == nil {
		_, err = w.Close(End{State: Finished})
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
