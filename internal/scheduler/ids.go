package scheduler

import "strings"

// The forms of ids. Nothing breaks for an id that has none of them: classes
// and modules are guesses about what costs a fixture or an import, and what
// takes alike.

// splitID returns the class and the module of a test id:
//
//	tests.test_x.TestC.test_m(param)              tests.test_x.TestC, tests.test_x
//	tests/test_x.py::TestC::test_m[param-1.5]     tests/test_x.py::TestC, tests/test_x.py
//	host/pkg/path.TestX/sub                       host/pkg/path, host/pkg
//	t/some/script.t                               t/some, t
func splitID(id string) (class, module string) {
	id = cutParameters(id)
	if i := strings.LastIndex(id, "::"); i >= 0 {
		module, _, _ = strings.Cut(id, "::")
		return id[:i], module
	}
	if strings.IndexByte(id, '/') < 0 {
		class = before(id, '.')
		return class, before(class, '.')
	}
	if i := goTest(id); i >= 0 {
		class = id[:i]
	} else {
		class = before(id, '/')
	}
	return class, before(class, '/')
}

// cutParameters cuts off what stands in brackets at the end, which may have
// separators in it.
func cutParameters(id string) string {
	for _, pair := range [...]struct{ open, end byte }{{'[', ']'}, {'(', ')'}} {
		if n := len(id); n > 0 && id[n-1] == pair.end {
			if i := strings.IndexByte(id, pair.open); i > 0 {
				id = id[:i]
			}
		}
	}
	return id
}

// before returns what stands before the last separator, or "".
func before(id string, separator byte) string {
	return id[:max(strings.LastIndexByte(id, separator), 0)]
}

// goTest returns where in the id of a Go test the package ends, or -1 if it is
// not one. What follows may be a subtest's name, with anything in it.
func goTest(id string) int {
	for from := 0; ; {
		i := strings.IndexByte(id[from:], '.')
		if i < 0 {
			return -1
		}
		from += i + 1
		for _, kind := range [...]string{"Test", "Example", "Fuzz", "Benchmark"} {
			if strings.HasPrefix(id[from:], kind) {
				return from - 1
			}
		}
	}
}
