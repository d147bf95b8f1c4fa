package worker

import _ "embed"

//go:embed python/testr_worker.py
var pythonSource string

// PythonSource returns the streaming worker for Python's unittest: one file, for
// Python 3.6 and later, that needs nothing but the standard library. It is run
// in the place of a runner's -m option:
//
//	python FILE --runner subunit.run [the runner's arguments]
//
// and lists the tests if --list is one of the arguments. The bytes are the
// caller's.
func PythonSource() []byte { return []byte(pythonSource) }
