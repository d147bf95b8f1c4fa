package event

import (
	"slices"
	"strings"
)

// ReturnCode is the test id under which it is reported, as testrepository does,
// that a test command or worker ended with a status that none of its tests
// explains.
const ReturnCode = "process-returncode"

// pseudoIDs and pseudoPrefixes are what older tools and runners report as if
// it were a test.
var (
	pseudoIDs      = []string{ReturnCode, ParserID}
	pseudoPrefixes = []string{"setUpClass (", "tearDownClass (", "setUpModule (", "tearDownModule (",
		"unittest.loader._FailedTest.", "unittest.loader.ModuleImportFailure."}
)

// Pseudo says whether id is one of those that runners and supervisors report
// on things that are no tests: such an id can never be asked for, whatever its
// packets say.
func Pseudo(id string) bool {
	if slices.Contains(pseudoIDs, id) {
		return true
	}
	for _, p := range pseudoPrefixes {
		if strings.HasPrefix(id, p) {
			return true
		}
	}
	return false
}
