package repo

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"testr/internal/event"
	"testr/internal/protocol"
)

// genTests is how many tests a generated repository has: as many as nova.
const genTests = 16636

// generate stores runs as those of a large suite are, until the repository has that
// many: tests take about as long as they always do, and run in an order that is a
// bit another each time; a few are broken for some revisions, some fail now and then
// and pass when they are run again, some are skipped. What fails has a traceback.
// Three runs have the same revision. One of twenty is partial.
func generate(tb testing.TB, r *Repository, tests, runs int) {
	tb.Helper()
	ids := longIDs(tests)
	there, err := r.Runs()
	if err != nil {
		tb.Fatal(err)
	}
	for run := len(there); run < runs; run++ {
		rnd := rand.New(rand.NewPCG(uint64(run), 7))
		info := RunInfo{Start: epoch.Add(time.Duration(run) * time.Hour), Command: []string{"testr", "run", "--parallel"},
			Host: "builder", User: "zuul", Revision: fmt.Sprintf("%040x", run/3), Partial: run%20 == 7}
		if info.Partial {
			info.Selection = []string{"compute"}
		}
		w, err := r.Begin(info)
		if err != nil {
			tb.Fatal(err)
		}
		genRun(rnd, ids, run, func(e event.Event) {
			if err := w.Event(e); err != nil {
				tb.Fatal(err)
			}
		})
		end := End{State: Finished}
		if !info.Partial {
			end.Profiles = listed(ids)
		}
		if _, err := w.Close(end); err != nil {
			tb.Fatal(err)
		}
	}
}

// genRun makes the events of a run.
func genRun(rnd *rand.Rand, ids []string, run int, store func(event.Event)) {
	const workers = 8
	base := epoch.Add(time.Duration(run) * time.Hour)
	order := make([]int, 0, len(ids))
	for i := range ids {
		if run%20 != 7 || i%4 == 0 {
			order = append(order, i)
		}
	}
	for i := range order { // near where they always are
		j := min(len(order)-1, i+rnd.IntN(50))
		order[i], order[j] = order[j], order[i]
	}
	wanted := make([]string, len(order))
	for i, at := range order {
		wanted[i] = ids[at]
	}
	store(event.Event{Kind: event.KindAsked, Time: base, Worker: event.NoWorker, Tests: wanted})
	var clocks [workers]time.Duration
	for n, at := range order {
		worker := n % workers
		store(event.Event{Kind: event.KindSent, Time: base.Add(clocks[worker]), Worker: worker, Tests: []string{ids[at]}})
		for attempt := 1; ; attempt++ {
			from := base.Add(clocks[worker])
			clocks[worker] += genDuration(rnd, at)
			s := genStatus(rnd, at, run)
			tags := []string{"worker-" + strconv.Itoa(worker)}
			if attempt > 1 {
				tags = append(tags, event.AttemptTag(attempt))
			}
			packet := func(p protocol.Packet, t time.Time) {
				p.Has |= protocol.HasTestID | protocol.HasTime | protocol.HasTags | protocol.HasRoute
				p.TestID, p.Runnable, p.Time, p.Tags, p.Route = ids[at], true, t, tags, strconv.Itoa(worker)
				store(event.Event{Kind: event.KindPacket, Time: t, Worker: worker, Packet: &p})
			}
			packet(protocol.Packet{Status: protocol.StatusInProgress}, from)
			if s == protocol.StatusFail {
				packet(protocol.Packet{Has: protocol.HasFile | protocol.HasMIME, FileName: "traceback",
					MIMEType: "text/x-traceback; charset=\"utf8\"; language=\"python\"", EOF: true,
					Content: genTraceback(rnd, ids[at])}, base.Add(clocks[worker]))
			}
			packet(protocol.Packet{Status: s}, base.Add(clocks[worker]))
			if s != protocol.StatusFail || attempt == 2 {
				break
			}
		}
	}
}

func genDuration(rnd *rand.Rand, test int) time.Duration {
	usual := 1 + (test*7919)%200
	if test%100 == 0 {
		usual *= 20
	}
	return time.Duration(usual)*time.Millisecond*9/10 + time.Duration(rnd.IntN(usual*200_000)+rnd.IntN(1000))
}

func genStatus(rnd *rand.Rand, test, run int) protocol.Status {
	switch {
	case test%37 == 5:
		return protocol.StatusSkip
	case test%500 == run/3%500 && test%2 == 0 || (test+run/30)%1500 == 0: // broken for a while
		return protocol.StatusFail
	case test%400 == 11 && rnd.IntN(5) == 0, rnd.IntN(20000) == 0: // now and then
		return protocol.StatusFail
	}
	return protocol.StatusSuccess
}

func genTraceback(rnd *rand.Rand, id string) []byte {
	text := "Traceback (most recent call last):\n"
	for range 4 + rnd.IntN(8) {
		text += fmt.Sprintf("  File \"/src/nova/nova/virt/%x.py\", line %d, in %x\n    self.assertEqual(%d, value)\n",
			rnd.IntN(500), rnd.IntN(3000), rnd.IntN(5000), rnd.IntN(100))
	}
	return []byte(text + "AssertionError: " + id + fmt.Sprintf(" %x != %x\n", rnd.Uint64(), rnd.Uint64()))
}

// generated returns the directory of a generated repository with that many runs; one
// of before goes on being used in the directory that TESTR_GENERATED names.
func generated(tb testing.TB, runs int) string {
	tb.Helper()
	dir := os.Getenv("TESTR_GENERATED")
	if dir == "" {
		dir = tb.TempDir()
	}
	dir = filepath.Join(dir, strconv.Itoa(runs)+"-runs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, DirName)); err != nil {
		if err := Init(dir); err != nil {
			tb.Fatal(err)
		}
	}
	r := openRepo(tb, dir)
	generate(tb, r, genTests, runs)
	closeRepo(tb, r)
	return dir
}
