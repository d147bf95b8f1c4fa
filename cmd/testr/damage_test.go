package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reading are the commands that ask the repository, and change nothing.
func reading() [][]string {
	var all [][]string
	for _, c := range []string{"last", "last --subunit", "failing", "failing --list", "failing --subunit",
		"slowest --all", "stats", "list-tests --failing"} {
		all = append(all, strings.Fields(c))
	}
	return all
}

const repositoryFile = ".testr/repository.db"

// sampleRepository is a project with a few runs in its repository, and the
// bytes of that.
func sampleRepository(t *testing.T) (*project, []byte) {
	t.Helper()
	tests := ""
	for i := range 60 {
		tests += fmt.Sprintf("package.module.Class%d.test_%d_%s\n", i/7, i,
			[]string{"", "fail", "skip", "prints", "parent", "bulky"}[i%6])
	}
	p := newProject(t, map[string]string{".testr.conf": streaming, "tests": tests})
	p.want(0, "init")
	for range 2 {
		p.want(1, "run")
	}
	p.want(1, "run", "Class1")
	return p, []byte(p.read(repositoryFile))
}

// TestDamaged is S20: whatever is in the repository's file, a command says what
// is wrong with it, or answers as before, and never panics. TESTR_MUTANTS makes more
// of them.
func TestDamaged(t *testing.T) {
	t.Parallel()
	sample, whole := sampleRepository(t)
	answers := map[string]result{}
	for _, args := range reading() {
		answers[strings.Join(args, " ")] = sample.testr(args...)
	}
	used := len(bytes.TrimRight(whole, "\x00")) // what bbolt has in reserve is nothing but zeros
	mutants, err := strconv.Atoi(os.Getenv("TESTR_MUTANTS"))
	if mutants /= 10; err != nil {
		mutants = 50
	}
	r := rand.New(rand.NewPCG(20, 1))
	refused := 0
	for i := range mutants {
		b := bytes.Clone(whole)
		page := func() int { return r.IntN(used) &^ 4095 }
		what := ""
		switch i % 5 {
		case 0:
			b = b[:r.IntN(used)]
			what = fmt.Sprintf("cut at %d", len(b))
		case 1: // in the pages that every command reads
			at := r.IntN(16 << 10)
			b[at] ^= 1 << r.IntN(8)
			what = fmt.Sprintf("a bit flipped at %d", at)
		case 2:
			for range 1000 {
				b[r.IntN(used)] ^= 1 << r.IntN(8)
			}
			what = "1000 bits flipped"
		case 3:
			at := page()
			clear(b[at : at+4096])
			what = fmt.Sprintf("the page at %d cleared", at)
		default:
			from, to := page(), page()
			copy(b[to:to+4096], b[from:from+4096])
			what = fmt.Sprintf("the page at %d in the place of that at %d", from, to)
		}
		p := newProject(t, map[string]string{".testr.conf": streaming, repositoryFile: string(b)})
		for _, args := range reading() {
			command := strings.Join(args, " ")
			res := p.testr(args...)
			wantNoPanic(t, what+": testr "+command, res.err)
			switch res.status {
			case 3:
				refused++
				if !strings.Contains(res.err, "testr: error: ") {
					t.Errorf("%s: testr %s: got on stderr %q; want an error", what, command, res.err)
				}
			case answers[command].status:
				if diff := cmp.Diff(answers[command].out, res.out); diff != "" {
					t.Errorf("%s: testr %s: want the same, or an error: -want +got:\n%s", what, command, diff)
				}
			default:
				t.Errorf("%s: testr %s: got exit status %d; want 3, or %d as for what is whole\n%s", what, command,
					res.status, answers[command].status, res.err)
			}
		}
	}
	t.Logf("%d of %d commands refused", refused, mutants*len(answers))
	if all := mutants * len(answers); refused < all/8 || refused > all*19/20 {
		t.Errorf("got %d commands of %d that saw damage; want some that do and some that don't", refused, all)
	}
}

// TestDamagedForWriting is S20 for the commands that write: what is damaged is
// refused and stays as it is.
func TestDamagedForWriting(t *testing.T) {
	t.Parallel()
	_, whole := sampleRepository(t)
	for name, b := range map[string][]byte{
		"cut":     whole[:len(whole)/2],
		"empty":   {},
		"garbage": bytes.Repeat([]byte("garbage "), 4096),
		"no meta": append(make([]byte, 8192), whole[8192:]...),
	} {
		p := newProject(t, map[string]string{".testr.conf": streaming, repositoryFile: string(b),
			"stream": passing(t)})
		for _, args := range []string{"run", "run --force-init", "load stream", "init"} {
			res := p.want(3, strings.Fields(args)...)
			wantNoPanic(t, name+": testr "+args, res.err)
			if args != "init" {
				wantText(t, res.err, "damaged", "hint: ")
			}
			if got := p.read(repositoryFile); got != string(b) {
				t.Fatalf("%s: testr %s changed the file", name, args)
			}
		}
		if p.exists("begun") || len(p.workers()) > 0 {
			t.Errorf("%s: a worker was started", name)
		}
	}
}

// TestNewerFormat is F21: what a newer testr wrote is not touched.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	p, _ := sampleRepository(t)
	known, newer := []byte("format\x00\x00\x00\x00\x00\x00\x00\x02"), []byte("format\x00\x00\x00\x00\x00\x00\x00\x63")
	old := []byte(p.read(repositoryFile))
	if !bytes.Contains(old, known) {
		t.Fatal("the format number is not where this test looks for it")
	}
	changed := bytes.ReplaceAll(old, known, newer)
	if err := os.WriteFile(p.path(repositoryFile), changed, 0o600); err != nil {
		t.Fatal(err)
	}
	writing := [][]string{{"run"}, {"run", "--force-init"}, {"load", "stream"}}
	p.write("stream", passing(t))
	for _, args := range append(reading(), writing...) {
		res := p.want(3, args...)
		wantText(t, res.err, "format 99", "format 2", "newer")
		if res.out != "" {
			t.Errorf("testr %q: got %q on stdout; want nothing", args, res.out)
		}
	}
	if !bytes.Equal([]byte(p.read(repositoryFile)), changed) {
		t.Error("the repository was changed")
	}
}
