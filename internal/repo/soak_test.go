package repo

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"testr/internal/protocol"
)

// What a writer needs doesn't grow with what it is given: the second half of
// 100 MB of events, or of as many as TESTR_STORE_MB says, takes no more memory
// than the first.
func TestMemory(t *testing.T) {
	mb := 100
	if s := os.Getenv("TESTR_STORE_MB"); s != "" {
		mb = atoi(t, s)
	}
	r := newRepo(t)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	var peak [2]int
	block := noise(60 << 10)
	for i, n := 0, mb<<20/len(block); i < n; i++ {
		id := fmt.Sprint("test ", i%1000)
		if err := w.Event(status(id, protocol.StatusSuccess, i)); err != nil {
			t.Fatal(err)
		}
		if err := w.Event(file(id, "log", append(block[i%1000:len(block):len(block)], fmt.Sprint(i)...))); err != nil {
			t.Fatal(err)
		}
		if half := 2 * i / n; i%50 == 0 {
			peak[half] = max(peak[half], anonymous(t))
		}
	}
	if _, err := w.Close(End{State: Finished}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MB of events took %d kB, then %d kB of memory", mb, peak[0], peak[1])
	if peak[1] > peak[0]+peak[0]/2 {
		t.Error("that grows")
	}
}

// anonymous returns how many kB of memory this process has that are no file's.
func anonymous(t *testing.T) (kb int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapInuse >> 10)
	}
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			_, err = fmt.Sscan(number, &kb)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return kb
}
