package instancetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"testr/internal/instance"
)

// Settings are what the contract needs to choose of a provider.
type Settings struct {
	T     testing.TB    // the test that wants it; the provider is closed, if need be, in its Cleanup
	Dir   string        // where commands run; empty for anywhere
	Env   []string      // KEY=VALUE for every command
	Grace time.Duration // from SIGTERM to SIGKILL; zero: long enough for a test to end in it
}

// Traits are what a provider can't do though others can. The zero value is the
// full contract.
type Traits struct {
	// NoPID means that Process.PID is 0 for good.
	NoPID bool
	// Shell means that a shell stands between, which tells of a death by signal
	// N as of exit status 128+N, and has the output open until it ends itself.
	Shell bool
}

// contract is what every provider has to keep.
type contract struct {
	newProvider func(Settings) instance.Provider
	traits      Traits
}

// Run tests a provider against the contract. It wants a new provider for each
// test.
func Run(t *testing.T, newProvider func(Settings) instance.Provider, traits Traits) {
	c := contract{newProvider, traits}
	tests := []struct {
		name string
		test func(*testing.T)
	}{
		{"provision", c.testProvision},
		{"stdin and stdout", c.testEcho},
		{"stdin from a file", c.testStdinFile},
		{"exit status", c.testExitStatus},
		{"wait again", c.testWaitAgain},
		{"arguments", c.testArguments},
		{"environment and directory", c.testEnvironment},
		{"start errors", c.testStartErrors},
		{"files", c.testFiles},
		{"files for many at once", c.testFilesAtOnce},
		{"files of one name", c.testFilesOneName},
		{"a file that is missing", c.testFileMissing},
		{"more than a pipe holds", c.testFlood},
		{"read before wait", c.testReadBeforeWait},
		{"read after wait", c.testReadAfterWait},
		{"write to the dead", c.testWriteToDead},
		{"cancel before start", c.testCancelBeforeStart},
		{"cancel while blocked", c.testCancelBlocked},
		{"cancel with grace", c.testCancelPolite},
		{"cancel without effect", c.testCancelStubborn},
		{"pause and resume", c.testPause},
		{"cancel while paused", c.testCancelPaused},
		{"close while running", c.testClose},
		{"close while paused", c.testClosePaused},
		{"grandchild in the group", c.testGrandchildInGroup},
		{"grandchild in a session of its own", c.testGrandchildSetsid},
		{"grandchild that floods", c.testGrandchildFloods},
		{"fifty at once", c.testFifty},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.test)
	}
}

// instance is one instance, given back at the end of the test.
func (c contract) instance(t *testing.T, s Settings) instance.Instance {
	t.Helper()
	s.T = t
	return One(t, c.newProvider(s))
}

func (c contract) testProvision(t *testing.T) {
	p := c.newProvider(Settings{T: t})
	ids := make(map[string]bool)
	for range 2 {
		instances, err := p.Provision(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range instances {
			ids[i.ID()] = true
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if len(ids) != 4 || ids[""] {
		t.Errorf("got ids %v; want four different ones", ids)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if instances, err := p.Provision(ctx, 1); !errors.Is(err, context.Canceled) || len(instances) > 0 {
		t.Errorf("Provision after cancel: got %d instances, %v; want none, %v", len(instances), err, context.Canceled)
	}
}
