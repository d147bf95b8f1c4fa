package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"testr/internal/api"
	"testr/internal/config"
	"testr/internal/event"
	"testr/internal/instance"
	"testr/internal/protocol"
	"testr/internal/repo"
	"testr/internal/runner"
)

// The test binary serves as the testr that guards the workers.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"guardian"}) {
		if err := instance.RunGuardian(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // a second for each guardian, otherwise
	os.Exit(m.Run())
}

// patience is how long a test waits for a state that comes at once unless
// something is wrong.
const patience = time.Minute

// A test "x" of these projects writes what is in the file x.
const batches = `[DEFAULT]
worker=batch
test_command=for i in $IDOPTION; do echo "$WHO $i" >>log; . ./$i.sh; done
test_id_option=$IDLIST
test_id_list_default=a b
`

// house is a directory in which a daemon is.
type house struct {
	t      *testing.T
	dir    string
	repo   *repo.Repository
	daemon *Daemon
	server *api.Server
	closed bool
}

// newHouse starts a daemon for a project with that configuration. Its tests a and
// b pass, and "waits" takes as long as there is no file "go".
func newHouse(t *testing.T, conf string) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "d") // t's own has too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &house{t: t, dir: dir}
	h.write(config.Name, conf)
	for _, id := range []string{"a", "b", "waits", "fails"} {
		status := protocol.StatusSuccess
		if id == "fails" {
			status = protocol.StatusFail
		}
		h.write(id+".begin", string(packet(t, id, protocol.StatusInProgress)))
		h.write(id+".end", string(packet(t, id, status)))
		h.write(id+".sh", "cat "+id+".begin "+id+".end\n")
	}
	h.write("waits.sh", "cat waits.begin; : >begun; until [ -e go ]; do sleep 0.01; done; cat waits.end\n")
	if err := repo.Init(dir); err != nil {
		t.Fatal(err)
	}
	h.open(nil)
	t.Cleanup(h.close)
	return h
}

func packet(t *testing.T, id string, s protocol.Status) []byte {
	t.Helper()
	b, err := protocol.AppendPacket(nil, &protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: s, Runnable: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (h *house) open(idle *time.Duration) {
	h.t.Helper()
	self, err := os.Executable()
	if err == nil {
		h.repo, err = repo.Open(h.dir)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.daemon = New(Config{Repo: h.repo, Root: h.dir, Self: self, Idle: idle, Log: hclog.NewNullLogger(),
		Warn:    func(err error) { h.t.Errorf("got a warning: %v", err) },
		Explain: func(err error) *Failure { return &Failure{Text: err.Error(), Status: 3} }})
	h.server, err = api.Serve(api.Config{Dir: h.dir, Queries: h.repo, Handlers: h.daemon.Handlers()})
	if err != nil {
		h.t.Fatal(err)
	}
	h.closed = false
}

func (h *house) close() {
	h.t.Helper()
	if h.closed {
		return
	}
	h.closed = true
	h.daemon.Close()
	err := h.server.Close()
	err = errors.Join(err, h.repo.Check(context.Background()), h.repo.Close())
	if err != nil {
		h.t.Error(err)
	}
}

func (h *house) write(name, content string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) read(name string) string {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

func (h *house) await(what string, reached func() bool) {
	h.t.Helper()
	for give := time.After(patience); !reached(); {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-give:
			h.t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func (h *house) awaitFile(name string) {
	h.t.Helper()
	h.await("the file "+name, func() bool {
		_, err := os.Stat(filepath.Join(h.dir, name))
		return err == nil
	})
}

// awaitIdle waits until nothing is being done.
func (h *house) awaitIdle(c *Client) {
	h.t.Helper()
	h.await("the end of all jobs", func() bool {
		state, err := c.State(h.t.Context())
		return err == nil && state.Idle != nil
	})
}

// client connects.
func (h *house) client() *Client {
	h.t.Helper()
	c, err := Find(h.t.Context(), h.dir)
	if err != nil || c == nil {
		h.t.Fatalf("got %v, %v; want a daemon", c, err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Queries are what the daemon answers about the repository.
func (c *Client) Queries() *api.Client { return c.api }

// wanted is a run of these tests, for somebody.
func (h *house) wanted(who string, tests ...string) Wanted {
	h.t.Helper()
	cfg, err := config.Load(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	return Wanted{Request: runner.Request{Config: cfg, Command: []string{"run", who},
		Environ: []string{"WHO=" + who, "PATH=" + os.Getenv("PATH")},
		Select:  runner.Selection{Listed: true, List: tests}}}
}

// ended is how a run that was handed over ended.
type ended struct {
	runner.Result
	err    error
	events []event.Event
}

// counts are those of the outcomes.
func (e ended) String() string {
	if e.Outcomes == nil {
		return fmt.Sprintf("run %d, %v", e.Run, e.err)
	}
	c := e.Outcomes.Counts()
	return fmt.Sprintf("run %d: %d passed, %d failed, %d not run, interrupted %v, %v", e.Run, c.Passed, c.Failed,
		c.NotRun, c.Interrupted, e.err)
}

// follow waits for the next run of a series, and reads all of its events.
func (h *house) follow(ctx context.Context, s *Series) ended {
	h.t.Helper()
	return h.followed(ctx, s, func() {})
}

// followed is follow, with what is to be done before the events are read.
func (h *house) followed(ctx context.Context, s *Series, before func()) (e ended) {
	h.t.Helper()
	read := make(chan struct{})
	close(read)
	e.Result, e.err = s.Next(ctx, func(events repo.Events) {
		read = make(chan struct{})
		go func() {
			defer close(read)
			before()
			for {
				batch, err := events.Next(context.Background())
				if err != nil {
					if !errors.Is(err, io.EOF) {
						h.t.Errorf("read the events: %v", err)
					}
					return
				}
				e.events = append(e.events, batch...)
			}
		}()
	})
	<-read
	return e
}

// run has one run made.
func (h *house) run(c *Client, w Wanted, l Listener) ended {
	h.t.Helper()
	s, err := c.Run(h.t.Context(), w, Signals{}, l)
	if err != nil {
		h.t.Fatal(err)
	}
	e := h.follow(h.t.Context(), s)
	if err := s.Close(); err != nil {
		h.t.Error(err)
	}
	return e
}

// want wants a run to have ended so.
func (h *house) want(e ended, want string) {
	h.t.Helper()
	if got := e.String(); got != want {
		h.t.Errorf("got %s; want %s", got, want)
	}
}

// lines are those of a text.
func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }
