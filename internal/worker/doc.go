// Package worker makes commands run chosen tests, and has the workers that are
// built in.
//
// A Template is a test command with places for what testr has to say: which
// tests to list or to run. It quotes ids for the shell, and refuses those that
// can't be written where they would stand. Batch makes a command of it that runs
// some ids. StreamCommands makes the commands of worker=stream.
//
// Detect finds the test runner in a command. If it is one that a built-in
// worker can take the place of, Detected.Python or Detected.Go is the command
// of that worker: everything of the user's but the runner stays as it was.
//
// A streaming worker lives as long as there are tests for it. It takes ids on
// its stdin and says on its stdout what becomes of them: the worker channel of
// docs/protocol.md. Serve keeps the worker's side of that channel for tests
// that run as a RunFunc; RunGo is such a worker for Go, which `testr worker go`
// is made of, and RunTap one for scripts that write TAP. The one for Python is a
// file of its own, which PythonSource returns: it keeps the channel in Python.
//
// Check examines a streaming worker, whoever wrote it: it starts the worker and
// looks whether it keeps the rules of docs/writing-a-worker.md.
//
// # Caveats
//
// Whoever asks for a command starts it: the package itself starts only what RunGo,
// RunTap and Check need, and ends that.
//
// Detect reads the command and runs nothing. What it can't be sure of it calls
// KindBatch, with a Reason for a person.
package worker
