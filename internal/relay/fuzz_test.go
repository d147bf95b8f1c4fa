package relay

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"

	"testr/internal/instance"
)

// seeds are what the two ends say, in order and not.
func seeds(f *testing.F) {
	start := message(0, nameStart, startMessage{Args: [][]byte{[]byte("reflect")}, Dir: []byte("d"),
		Env: [][]byte{[]byte("A=b")}})
	f.Add(slices.Concat(hello(), start,
		message(0, nameWindow, windowMessage{Stream: nameStdout, Octets: 100, As: asPackets}),
		message(0, nameWindow, windowMessage{Stream: nameStderr, Octets: 100}), packetOf("0"), packetOf("0/1"),
		appendControl(nil, 0, nameStdin, []byte("text"), true)))
	f.Add(slices.Concat(hello(), start, message(0, nameCancel, struct{}{}), message(0, nameKill, struct{}{}),
		message(0, namePause, struct{}{}), message(0, nameResume, struct{}{})))
	for _, lie := range lies() {
		if len(lie) < 10_000 {
			f.Add(append(hello(), lie...))
		}
	}
	f.Add(slices.Concat(hello(), message(0, nameStarted, startedMessage{PID: 5}), packetOf("0"),
		appendControl(nil, 0, nameText, []byte("text"), false),
		message(0, nameDamage, damageMessage{Offset: 3, Reason: "r", Octets: []byte{0xb3}}),
		pieces(0, namePacket, packetOf("")),
		appendControl(nil, 0, nameStderr, nil, true), appendControl(nil, 0, nameStdout, nil, true),
		message(0, nameExit, exitMessage{Code: 1})))
}

// S14: whatever a client says, a relay neither panics nor hangs, and leaves
// nothing running. (The stage's actors are counted in Serve.)
func FuzzServe(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, says []byte) {
		_ = (&Server{Provider: stage{"reflect": reflect}}).Serve(t.Context(), bytes.NewReader(says), io.Discard)
	})
}

// S14: whatever a relay says, a client neither panics nor hangs, and every
// command ends.
func FuzzClient(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, says []byte) {
		p, cancel := startPiped(func(_ context.Context, in io.Reader, out io.Writer) error {
			if bytes.HasPrefix(says, hello()) {
				_, _ = out.Write(hello())
				says = says[len(hello()):]
				awaitStdout(in)
			}
			go func() { _, _ = io.Copy(io.Discard, in) }()
			_, _ = out.Write(says)
			return nil
		})
		c, err := New(t.Context(), p, Options{Name: "desktop", Cancel: cancel})
		if err != nil {
			wantLost(t, err)
			return
		}
		instances, err := c.Provision(t.Context(), 1)
		if err != nil {
			wantLost(t, err)
			return
		}
		process, err := instances[0].Start(t.Context(), instance.Command{Args: []string{"x"}})
		if err != nil {
			wantLost(t, err)
			return
		}
		if _, err := readAll(process.(*Process)); err != nil {
			wantLost(t, err)
		}
		if _, err := io.ReadAll(process.Stderr()); err != nil {
			wantLost(t, err)
		}
		_, _ = process.Wait()             // which returns
		if err := c.Close(); err != nil { // it may have ended in good order
			wantLost(t, err)
		}
	})
}
