package tree

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"testr/internal/instance"
)

// world is a tree that changes at random, and what should be there.
//
// Names of the tree that begin with x are now a file, now a link, now a
// directory. Others keep their kind, and have something beside them that was
// made there.
type world struct {
	*pair
	rand    *rand.Rand
	made    files  // what was made there
	outside string // a directory there that is not of the tree
}

func newWorld(t *testing.T, w way, seed uint64) *world {
	p := newPair(t, w)
	outside := filepath.Join(filepath.Dir(p.away), "outside")
	files{"a": "not of the tree", "b/f1": "nor this"}.write(t, outside)
	return &world{p, rand.New(rand.NewPCG(seed, 0)), files{}, outside}
}

func (w *world) pick(of ...string) string { return of[w.rand.IntN(len(of))] }

// content is some, of few sizes, so that another one has the same size.
func (w *world) content() string {
	size := []int{1, 1, 1, 700, 70_000}[w.rand.IntN(5)]
	return w.pick("", "", "+") + strings.Repeat(w.pick("1", "2", "3", "\x00\n"), size)
}

func (w *world) dir() string { return w.pick("", "d1/", "d2/", "d2/d3/", "d\n4/", "d5/-d/") }

// edit changes something here.
func (w *world) edit() {
	change := files{}
	switch w.rand.IntN(8) {
	case 0, 1, 2:
		change[w.dir()+w.pick("f1", "f 2", "-f3", "f\n4", "f\xff5", "f\\6")] = w.content()
	case 3:
		change[w.dir()+w.pick("l1", "l\n2")] = w.pick("->/etc", "->f1", "->../f1", "->nowhere\n", "->"+w.outside)
	case 4:
		change[w.dir()+w.pick("f1", "f 2", "-f3", "f\n4", "l1")] = ""
	case 5:
		change[w.pick("d1", "d2", "d2/d3", "d5")] = ""
	case 6:
		change[w.pick("x1", "d2/x2")] = w.pick("->d1", "->/etc", w.content(), "")
	case 7:
		x := w.pick("x1", "d2/x2")
		if !isDir(filepath.Join(w.here, x)) {
			change[x] = ""
		}
		change.write(w.t, w.here)
		change = files{x + "/" + w.pick("f1", "d6/f1", "f\n4"): w.content()}
	}
	change.write(w.t, w.here)
}

// seeds is how many seeds to try: n, or a hundredth of TESTR_SEEDS.
func seeds(t *testing.T, n int) int {
	t.Helper()
	s := os.Getenv("TESTR_SEEDS")
	if s == "" {
		return n
	}
	all, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("TESTR_SEEDS: %v", err)
	}
	return max(1, all/100)
}

// isDir says whether there is a directory, and no link to one.
func isDir(dir string) bool {
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir()
}

// disturb changes something there.
func (w *world) disturb() {
	if !isDir(w.away) {
		return
	}
	switch name := w.dir() + w.pick("made1", "made\n2"); w.rand.IntN(4) {
	case 0, 1: // something is made, perhaps in what is not of the tree any more
		if isDir(filepath.Join(w.away, filepath.Dir(name))) {
			w.made[name] = w.pick("x", "+y", "->f1")
			files{name: w.made[name]}.write(w.t, w.away)
		}
	case 2:
		if isDir(filepath.Join(w.away, filepath.Dir(name))) {
			delete(w.made, name)
			files{name: ""}.write(w.t, w.away)
		}
	case 3: // a file that was brought is another one, or the way to outside
		for file := range read(w.t, w.here) {
			_, err := os.Lstat(filepath.Join(w.away, file))
			if err == nil && isDir(filepath.Join(w.away, filepath.Dir(file))) && !isDir(filepath.Join(w.away, file)) {
				files{file: w.pick("z", "+z", "->"+w.outside+"/a", "->"+w.outside, "")}.write(w.t, w.away)
				return
			}
		}
	}
}

// lead makes the place of a directory of the tree, there, something else.
func (w *world) lead() {
	dir := w.pick("d1", "d2", "d2/d3", "x1")
	if !isDir(filepath.Join(w.here, dir)) || len(read(w.t, filepath.Join(w.here, dir))) == 0 ||
		!isDir(filepath.Join(w.away, dir)) {
		return
	}
	files{dir: w.pick("->"+w.outside, "->"+w.outside+"/b", "z")}.write(w.t, w.away)
	for made := range w.made {
		if strings.HasPrefix(made, dir+"/") {
			delete(w.made, made)
		}
	}
}

// check syncs, and compares.
func (w *world) check() {
	w.t.Helper()
	w.sync()
	all := read(w.t, w.here)
	maps.Copy(all, w.made)
	want(w.t, w.away, all)
	want(w.t, w.outside, files{"a": "not of the tree", "b/f1": "nor this"})
}

// After each sync the trees are equal but for what was made there, whatever
// happened to both, and whatever became of syncs in between.
func testRandom(t *testing.T, w way) {
	for seed := range uint64(seeds(t, 3)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			world := newWorld(t, w, seed)
			for range 12 {
				for range world.rand.IntN(8) {
					world.edit()
				}
				for range world.rand.IntN(4) {
					world.disturb()
				}
				switch world.rand.IntN(4) {
				case 0:
					world.cutSync(int64(world.rand.IntN(1 << (4 + world.rand.IntN(15)))))
				case 1:
					world.lead()
					fallthrough
				default:
					world.check()
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			world.check()
			if stats := world.sync(); stats.Sent != 0 || stats.Deleted != 0 {
				t.Errorf("got %+v; want nothing to do", stats)
			}
		})
	}
}

// cutSync is a sync whose instance is lost, or that is cancelled, after some
// bytes.
func (w *world) cutSync(after int64) {
	w.t.Helper()
	ctx, cancel := context.WithCancelCause(w.t.Context())
	defer cancel(nil)
	f := &faulty{Instance: w.inst, left: after}
	if w.rand.IntN(2) == 0 {
		f.cut = cancel
	}
	_, err := Sync(ctx, f, workDir, w.options())
	var lost *instance.LostError
	switch {
	case f.left >= 0 && err != nil:
		w.t.Errorf("got %v; want no error, it was not cut", err)
	case f.cut != nil && err != nil && !errors.Is(err, errCut):
		w.t.Errorf("got %v; want %v", err, errCut)
	case f.cut == nil && f.left < 0 && !errors.As(err, &lost):
		w.t.Errorf("got %v; want a loss", err)
	}
}
