package event

import "testing"

func TestNeeds(t *testing.T) {
	for _, c := range []struct {
		test, fixture string
		want          bool
	}{
		{"m.X.test_a", "setUpClass (m.X)", true},
		{"m.X.test_a", "setUpModule (m)", true},
		{"m.X.test_a", "unittest.loader._FailedTest.m", true},
		{"m.XY.test_a", "setUpClass (m.X)", false},
		{"m.X.test_a", "tearDownClass (m.X)", false},
		{"m.X.test_a", "m.X", false},
		{"m.X.test_a", "setUpClass (m.X", false},
		{"m.X.test_a", "process-returncode", false},
	} {
		if got := Needs(c.test, c.fixture); got != c.want {
			t.Errorf("Needs(%q, %q): got %v; want %v", c.test, c.fixture, got, c.want)
		}
	}
}

func TestNotReached(t *testing.T) {
	for reason, want := range map[string]bool{
		ReasonInterrupted: true, ReasonStopped: true, ReasonMaxFail: true,
		"": false, "machine lost": false, SetUpFailed("setUpClass (m.X)"): false,
	} {
		if got := NotReached(reason); got != want {
			t.Errorf("NotReached(%q): got %v; want %v", reason, got, want)
		}
	}
}
