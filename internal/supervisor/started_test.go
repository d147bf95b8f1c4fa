package supervisor

import (
	"os"
	"testing"
	"testing/synctest"

	"testr/internal/event"
)

// TestStartsTellWhere: every start names its slot's route and its machine, also
// where that is this one.
func TestStartsTellWhere(t *testing.T) {
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		tests := ids(100)
		cfg, rec := setup(t, 3, slowly, tests...)
		cfg.Slots[1].Host, cfg.Slots[1].Route = "my laptop", "1/0"
		desktop(&cfg, there(0, slowly))
		cfg.Slots[2].Route = "1/1"
		check(t, cfg, all("success", tests...))
		routes := []string{"0", "1/0", "1/1"}
		hosts := []string{here, "my laptop", "desktop.example"}
		begun := map[int]int{}
		for _, e := range rec.events {
			if e.Kind != event.KindWorkerStarted {
				continue
			}
			begun[e.Worker]++
			want := event.Started{Host: hosts[e.Worker], Instance: "fake", Route: routes[e.Worker], Generation: begun[e.Worker]}
			got, ok := event.ParseStarted(e.Detail)
			if want.PID = got.PID; got != want || !ok || got.PID == 0 {
				t.Errorf("got %+v, %v of %q; want %+v and a process", got, ok, e.Detail, want)
			}
		}
		if len(begun) != len(cfg.Slots) {
			t.Errorf("got starts %v; want some in each slot", begun)
		}
	})
}
