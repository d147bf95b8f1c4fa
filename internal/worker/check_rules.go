package worker

// checkRules are the rules of the worker channel in docs/protocol.md, in the
// words of docs/writing-a-worker.md.
var checkRules = []CheckedRule{
	{Name: "list-exit", Says: "the listing exits with 0"},
	{Name: "list-ids", Says: "the listing writes a packet exists, runnable, for each test that can be asked for"},
	{Name: "list-once", Says: "no id is listed twice"},
	{Name: "clean-stream", Says: "stdout has whole packets, and text between them at most"},
	{Name: "in-time", Says: "a test that was asked for begins and ends within the time limit"},
	{Name: "begin", Says: "a test begins with inprogress, with a timestamp"},
	{Name: "outcome", Says: "a test that was asked for ends with exactly one outcome, with a timestamp"},
	{Name: "runnable", Says: "the outcome of a listed test is runnable"},
	{Name: "only-asked", Says: "no test runs that was not asked for, or before it was"},
	{Name: "order", Says: "tests begin in the order in which they were asked for"},
	{Name: "one-at-a-time", Says: "a test begins when the one before has its outcome"},
	{Name: "again", Says: "a test that is asked for again runs again"},
	{Name: "one-write", Says: "several requests may come at once"},
	{Name: "half-packets", Says: "a request may come in pieces"},
	{Name: "route-code", Says: "a request may have a route code"},
	{Name: "unknown-test", Says: "an unknown id ends in fail, not runnable, with a file unknown-test"},
	{Name: "give-back", Says: "a test that is asked back is answered with exists and never runs, or it runs"},
	{Name: "nothing-to-give", Says: "asking back a test that it doesn't hold is passed over"},
	{Name: "pass-over", Says: "packets that it doesn't understand are passed over"},
	{Name: "stdin-file", Says: "the file stdin, and its end, are input for tests and no end of the worker"},
	{Name: "end-packet", Says: "after the end-of-file packet it finishes what it was asked for, and exits"},
	{Name: "end-of-stdin", Says: "after the end of stdin it finishes what it was asked for, and exits"},
	{Name: "exit-status", Says: "it exits with 0, whatever its tests came to"},
}
