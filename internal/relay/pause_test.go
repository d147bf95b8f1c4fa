package relay

import (
	"slices"
	"sync"
	"testing"
	"time"

	"testr/internal/instance/instancetest"
)

// TestHold: whoever watches over the relay's machine is told when the first
// command is paused and when none is any more, also by its end.
func TestHold(t *testing.T) {
	var mu sync.Mutex
	var got []bool
	told := func() []bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
	c := inProcess(t, relayConfig{})
	c.options.Hold = func(on bool) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, on)
	}
	place := instancetest.One(t, c)
	first := instancetest.Start(t.Context(), t, place, instancetest.Program(t, "echo"))
	second := instancetest.Start(t.Context(), t, place, instancetest.Program(t, "echo"))
	for _, do := range []func() error{first.Pause, second.Pause, first.Resume} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []bool{true}; !slices.Equal(told(), want) {
		t.Errorf("with one paused: got %v; want %v", told(), want)
	}
	if err := place.Close(); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(told()) < 2 && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	if want := []bool{true, false}; !slices.Equal(told(), want) {
		t.Errorf("when all have ended: got %v; want %v", told(), want)
	}
}
