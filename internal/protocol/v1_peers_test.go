//go:build peers

package protocol

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestV1AsSubunit1To2 compares with python-subunit's own conversion what a V1Reader makes of
// random streams that python-subunit reads right.
func TestV1AsSubunit1To2(t *testing.T) {
	for seed := range uint64(3) {
		stream := randomV1(rand.New(rand.NewPCG(seed, 1)), 1000)
		cmd := exec.Command("subunit-1to2")
		cmd.Stdin = strings.NewReader(stream)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("seed %d: subunit-1to2: %v\n%s", seed, err, &stderr)
		}
		want, _ := vectorForm(readAll(t, out, bytes.NewReader(out)), true)
		got, _ := vectorForm(readV1(t, NewV1Reader(strings.NewReader(stream))), true)
		if diff := cmp.Diff(joinText(want), joinText(got)); diff != "" {
			t.Errorf("seed %d (-subunit-1to2 +got):\n%.3000s", seed, diff)
		}
	}
}

// joinText joins adjacent pieces of the text beside tests, which subunit-1to2 cuts into lines.
func joinText(events []vectorEvent) (joined []vectorEvent) {
	isText := func(e vectorEvent) bool { return e.TestID == nil && e.FileName != nil && *e.FileName == "stdout" }
	for _, e := range events {
		if !isText(e) {
			joined = append(joined, e)
			continue
		}
		if n := len(joined); n > 0 && isText(joined[n-1]) {
			text := *joined[n-1].Content + *e.Content
			joined[n-1].Content = &text
			continue
		}
		joined = append(joined, vectorEvent{FileName: e.FileName, Content: e.Content})
	}
	return joined
}

// v1Writer writes a random stream of version 1.
type v1Writer struct {
	strings.Builder
	rnd *rand.Rand
}

// randomV1 is a stream of that many tests. It begins with a time, since python-subunit would
// take its own clock's without.
func randomV1(rnd *rand.Rand, tests int) string {
	w := v1Writer{rnd: rnd}
	w.WriteString("time: 2011-05-17 08:00:00Z\n")
	for range tests {
		for range rnd.IntN(3) {
			w.between()
		}
		id := w.any("a", "a b", "m.C.test (i=1)", "é", "a [", "a [ multipart", "a\t", "]", "x\r", "test: y", "a:")
		w.WriteString(w.any("test: ", "test ", "testing: ", "test::\t") + id + w.any("\n", "\n", "\nerror: another\n"))
		for range rnd.IntN(3) {
			w.between()
		}
		w.outcome(id)
	}
	return w.String()
}

func (w *v1Writer) any(choice ...string) string { return choice[w.rnd.IntN(len(choice))] }

// between writes what may stand anywhere.
func (w *v1Writer) between() {
	switch w.rnd.IntN(4) {
	case 0:
		w.WriteString(w.any("text\n", "]\n", "\n", " test: x\n", "TEST: x\n", "testx: y\n", "test:\n", "é\r\n", "success:\n"))
	case 1:
		fmt.Fprintf(&w.Builder, "time: 2011-05-%02d%s\n", 1+w.rnd.IntN(31), w.any(" 08:00:00Z", "T08:00:00.25Z",
			" 08:00:00+01:30", " 08:00:00.500000", " 08:00:00 Z"))
	case 2:
		w.WriteString("tags: ")
		for range 1 + w.rnd.IntN(3) {
			w.WriteString(w.any("a", "b", "-a", "-b", "é", "a:b", "--a", "worker-0", "-worker-0") + w.any(" ", "  ", "\t"))
		}
		w.WriteString("\n")
	case 3:
		w.WriteString(w.any("progress: 3\n", "progress: +1\n", "progress: -2\n", "progress: push\n", "progress: pop\n"))
	}
}

// outcome writes that of the test that was begun.
func (w *v1Writer) outcome(id string) {
	w.WriteString(w.any("success", "successful", "failure", "error", "skip", "xfail", "uxsuccess"))
	w.WriteString(w.any(": ", ":\t", " ") + id)
	switch w.rnd.IntN(3) {
	case 0:
		w.WriteString("\n")
		return
	case 1:
		w.WriteString(" [\n")
		for range w.rnd.IntN(4) {
			w.WriteString(w.any("line\n", " ]\n", " ] x\n", "]x\n", "] \n", "\n", "  ]\n", "é\r\n", "test: a\n"))
		}
	case 2:
		w.WriteString(" [ multipart\n")
		for range w.rnd.IntN(4) {
			w.WriteString(w.any("Content-Type: text/plain", "Content-Type: text/x-traceback;charset=utf8,language=python",
				"X a/b", " a/b", "C a/") + "\n" + w.any("traceback", "log", "", "é", "x y", "]") + "\n")
			for range w.rnd.IntN(3) {
				chunk := w.any("x", "]\n", "\r\n", "0\r\n", "é\n", "test: a\nsuccess: a\n", strings.Repeat("long ", 30000))
				fmt.Fprintf(&w.Builder, w.any("%X", "%x", "0%X")+"\r\n%s", len(chunk), chunk)
			}
			w.WriteString("0\r\n")
		}
	}
	w.WriteString("]\n")
}
