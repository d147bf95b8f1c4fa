package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"testr/internal/repo"
)

// raw makes a request of which nothing is read.
func (h *house) raw(path, body string) net.Conn {
	h.t.Helper()
	c, err := net.Dial("unix", h.server.Path())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: testr\r\nContent-Length: %d\r\n\r\n%s", path, len(body),
		body); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// ask asks for a job without reading what becomes of it, and returns that.
func (h *house) ask(a Asked) (*job, net.Conn) {
	h.t.Helper()
	body, err := json.Marshal(a)
	if err != nil {
		h.t.Fatal(err)
	}
	known := func() map[int]*job {
		h.daemon.mu.Lock()
		defer h.daemon.mu.Unlock()
		return maps.Clone(h.daemon.jobs)
	}
	before := known()
	c := h.raw(pathJobs, string(body))
	var asked *job
	h.await("the job", func() bool {
		for n, j := range known() {
			if before[n] == nil {
				asked = j
			}
		}
		return asked != nil
	})
	return asked, c
}

// ends wants a daemon to end.
func (h *house) ends() {
	h.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.close()
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		h.t.Fatal("waited in vain for the daemon's end")
	}
}

// TestStopUnread: a client that reads nothing of what it is told doesn't keep the
// daemon from its end.
func TestStopUnread(t *testing.T) {
	h := newHouse(t, batches)
	h.daemon.patience = 0
	w := h.wanted("ann", "waits")
	j, _ := h.ask(w.asked())
	h.awaitFile("begun")
	j.feed.put(Message{Kind: kindWarning, Text: strings.Repeat("x", 8<<20)}) // more than a socket has room for
	h.await("that to be on its way", func() bool {
		j.feed.mu.Lock()
		defer j.feed.mu.Unlock()
		return len(j.feed.held) == 0
	})
	h.ends()
}

// TestAfter: what a client has not read yet when the daemon ends, and what there is
// to ask, the file tells.
func TestAfter(t *testing.T) {
	h := newHouse(t, batches)
	h.daemon.patience = 0
	// More than a socket has room for.
	h.write("waits.sh", "cat waits.begin; head -c 4000000 /dev/zero | tr '\\0' x; : >begun; "+
		"until [ -e go ]; do sleep 0.01; done\n")
	s, _ := h.begin(t.Context(), h.client(), h.wanted("ann", "waits"), Signals{})
	gone := make(chan struct{})
	result := make(chan ended, 1)
	go func() { result <- h.followed(t.Context(), s, func() { <-gone }) }()
	h.awaitFile("begun")
	h.ends()
	close(gone)
	h.want(<-result, "run 0: 0 passed, 0 failed, 1 not run, interrupted true, the daemon was stopped")
	if info, err := s.Queries().Run(0); err != nil || info.State != repo.Interrupted {
		t.Errorf("got %+v, %v; want the run", info, err)
	}
}

// TestStreamOfNone: a stream that comes for a job which is cancelled before its turn
// ends with it.
func TestStreamOfNone(t *testing.T) {
	h := newHouse(t, batches)
	h.daemon.patience = 0
	w := h.wanted("ann", "waits")
	h.ask(w.asked())
	j, client := h.ask(Asked{Load: &AskedLoad{Streams: []string{"one"}}})
	sends := h.raw(path(j.number, "streams/0"), "xy")
	if _, err := io.ReadFull(j.streams[0].r, make([]byte, 1)); err != nil { // it is being taken
		t.Fatal(err)
	}
	_ = client.Close()
	if err := sends.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	status := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(sends, status); err != nil || string(status) != "HTTP/1.1 200" {
		t.Errorf("got %q, %v of the stream; want that no more of it is wanted", status, err)
	}
	h.ends()
}

// TestDetach: there is a run that nobody waits for once its client knows of it.
func TestDetach(t *testing.T) {
	const listing = `[DEFAULT]
worker=batch
test_command=: >listing; until [ -e go ]; do sleep 0.01; done; : $LISTOPT $IDOPTION
test_id_option=$IDLIST
test_list_option=--list
`
	w := func(h *house) Wanted {
		w := h.wanted("ann")
		w.Select.Listed = false
		return w
	}
	t.Run("gone", func(t *testing.T) {
		h := newHouse(t, listing)
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("by SIGINT")
		var waits sync.WaitGroup
		waits.Go(func() {
			h.awaitFile("listing")
			cancel(cause)
		})
		if taken, err := h.client().Detach(ctx, w(h)); !errors.Is(err, cause) {
			t.Errorf("got %+v, %v; want %v", taken, err, cause)
		}
		waits.Wait()
		h.awaitIdle(h.client())
	})
	t.Run("stopped", func(t *testing.T) {
		h := newHouse(t, listing)
		var stops sync.WaitGroup
		stops.Go(func() {
			h.awaitFile("listing")
			h.close()
		})
		taken, err := h.client().Detach(t.Context(), w(h))
		var failed *Failure
		if !errors.As(err, &failed) || failed.Status != statusError || failed.Text != errStopped.Error() {
			t.Errorf("got %+v, %v; want that %v", taken, err, errStopped)
		}
		stops.Wait()
	})
}
