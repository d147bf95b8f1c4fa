package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"testr/internal/protocol"
	"testr/internal/worker"
)

// benchID is the id of test number i of a large suite: about 90 bytes, as those
// of nova's unit tests are.
func benchID(i int) string {
	return fmt.Sprintf("nova.tests.unit.compute.test_module_%03d.ComputeManagerUnitTestCase%02d.test_what_it_does_%05d",
		i/200, i/20%100, i)
}

// idleDouble is a streaming worker whose tests do nothing and pass: what a run
// of it costs is testr's own. It takes
//
//	--list N    lists N tests
//	--pause D   serves, and takes so long before each outcome
//
// and without these it serves.
func idleDouble(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var pause time.Duration
	err := error(nil)
	if len(args) == 2 && args[0] == "--pause" {
		pause, err = time.ParseDuration(args[1])
	}
	switch {
	case err != nil:
	case len(args) == 2 && args[0] == "--list":
		err = listIdle(args[1], stdout)
	default:
		err = worker.Serve(context.Background(), stdin, stdout, idleRunner(pause))
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "idle-double:", err)
		return 1
	}
	return 0
}

func listIdle(count string, stdout io.Writer) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	w := protocol.NewWriter(out)
	for i := range n {
		p := protocol.Packet{Has: protocol.HasTestID, TestID: benchID(i), Status: protocol.StatusExists, Runnable: true}
		if err := w.WritePacket(&p); err != nil {
			return err
		}
	}
	return out.Flush()
}

func idleRunner(pause time.Duration) worker.RunFunc {
	return func(_ context.Context, req worker.Request, w *protocol.Writer) error {
		p := protocol.Packet{Has: protocol.HasTestID | protocol.HasTime, TestID: req.TestID, Runnable: true,
			Status: protocol.StatusInProgress, Time: time.Now().UTC()}
		if err := w.WritePacket(&p); err != nil {
			return err
		}
		if pause > 0 {
			<-time.After(pause)
		}
		p.Status, p.Time = protocol.StatusSuccess, time.Now().UTC()
		return w.WritePacket(&p)
	}
}
