// Package supervisor runs tests: it starts workers in slots, gives them test
// ids while the run goes on, settles what they report, and puts everything
// that happens, in order, into an event.Sink.
//
// One goroutine, the loop, owns the queue, the outcomes and the state of every
// worker. Each process has five goroutines more (four without an outbox), which
// own one end of a pipe each and nothing else:
//
//	goroutine   owns                 ends when                      joined by
//	pump        reading stdout       stdout ends                    packets
//	packets     the packet reader    stdout ends                    wait
//	stderr      reading stderr       stderr ends                    wait
//	outbox      writing stdin        the loop closes the outbox     wait
//	wait        the process's end    all of the above have ended    Run
//
// They tell the loop through its inbox. The loop never blocks on a worker: an
// outbox has room for all that the loop puts there. It blocks on its Sink
// alone, and that is the back-pressure: readers block on the inbox, and the
// workers on their pipes.
package supervisor
