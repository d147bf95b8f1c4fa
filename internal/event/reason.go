package event

import (
	"strings"

	"testr/internal/protocol"
)

// Fails says whether an outcome makes its run fail.
func Fails(s protocol.Status) bool { return s == protocol.StatusFail || s == protocol.StatusUxSuccess }

// Why tests that were asked for did not run: the details of KindNotRun that
// mean something to whoever reads them later.
const (
	ReasonInterrupted = "interrupted"
	ReasonStopped     = "the run was stopped"
	ReasonMaxFail     = "enough tests have failed"
)

// NotReached says whether tests that did not run for this reason were merely not
// reached when their run was stopped: that says nothing about them.
func NotReached(reason string) bool {
	return reason == ReasonInterrupted || reason == ReasonStopped || reason == ReasonMaxFail
}

const setUpFailed = " failed"

// SetUpFailed is the reason of tests that a fixture kept from running, by the
// pseudo id of the fixture: "setUpClass (m.X) failed".
func SetUpFailed(fixture string) string { return fixture + setUpFailed }

// The prefixes of pseudo ids of fixtures that run before tests, with what
// encloses the name of what they are for.
var setUps = []struct{ before, after string }{
	{"setUpClass (", ")"},
	{"setUpModule (", ")"},
	{"unittest.loader._FailedTest.", ""},
	{"unittest.loader.ModuleImportFailure.", ""},
}

// Fixture says whether id is the pseudo id of a fixture, or of an import, that
// keeps tests from running if it fails.
func Fixture(id string) bool {
	_, ok := fixtureOf(id)
	return ok
}

// Needs says whether the test needs that fixture: "m.X.test_a" needs
// "setUpClass (m.X)" and "setUpModule (m)".
func Needs(test, fixture string) bool {
	of, ok := fixtureOf(fixture)
	return ok && strings.HasPrefix(test, of+".")
}

// fixtureOf is the name of the class or module that a fixture is for.
func fixtureOf(id string) (string, bool) {
	for _, s := range setUps {
		if of, ok := strings.CutPrefix(id, s.before); ok {
			return strings.CutSuffix(of, s.after)
		}
	}
	return "", false
}
