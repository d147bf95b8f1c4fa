package tree

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func BenchmarkTar(b *testing.B) { benchmarkWay(b, way{by: byTar}) }

// benchmarkWay syncs a tree of 5,000 files and 50 MB to a directory of this
// machine: all of it, nothing of it, and one file.
func benchmarkWay(b *testing.B, w way) {
	p := newPair(b, w)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		content := make([]byte, 10_000)
		for j := range content {
			content[j] = byte(random.UintN(256))
		}
		files{fmt.Sprintf("d%02d/e%d/file%d.py", i%70, i%7, i): string(bytes.TrimLeft(content, "-+"))}.write(b, p.here)
	}
	runGit(b, p.here, "init", "-q")
	runGit(b, p.here, "add", "-A")
	p.sync()
	n := 0
	for _, bench := range []struct {
		name string
		do   func()
		sent int
	}{
		{"first", func() { _ = os.RemoveAll(p.away) }, 5000},
		{"no change", func() {}, 0},
		{"one file", func() { n++; files{"d00/e0/file0.py": fmt.Sprint(n)}.write(b, p.here) }, 1},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				bench.do()
				b.StartTimer()
				if stats := p.sync(); stats.Sent != bench.sent {
					b.Errorf("got %+v; want %d sent", stats, bench.sent)
				}
			}
		})
	}
	if diff := len(read(b, filepath.Join(p.away, "d00"))); diff == 0 {
		b.Error("nothing was brought")
	}
}
