package tree

import (
	"bufio"
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
)

func TestParseSynced(t *testing.T) {
	tests := []struct {
		name, record string
		want         []string
	}{
		{"empty", "", []string{}},
		{"names", "b\x00a/b\n\x00-x\x00\xff\x00", []string{"-x", "a/b\n", "b", "\xff"}},
		{"twice", "a\x00b\x00a\x00", []string{"a", "b"}},
		{"cut off", "a\x00b/c", []string{"a"}},
		{"outside", "../a\x00a/../../b\x00/etc/passwd\x00..\x00a\x00", []string{"a"}},
		{"not clean", "./a\x00a//b\x00a/\x00a/./b\x00\x00.\x00a/../b\x00", []string{}},
		{"testr's and git's", ".testr/synced\x00.testr\x00.git/config\x00a/.git/hooks/x\x00.gitignore\x00",
			[]string{".gitignore"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, parseSynced([]byte(tt.record))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tt.name, diff)
		}
	}
}

// Whatever an instance says that was brought, what may be removed is a file of
// the tree, and what was recorded is read again.
func FuzzParseSynced(f *testing.F) {
	f.Add([]byte("a\x00b/c\x00"))
	f.Add([]byte("../a\x00/b\x00a/../../c\x00.testr/x\x00d"))
	f.Add([]byte("\x00\x00\n\x00\xff\x00"))
	f.Fuzz(func(t *testing.T, record []byte) {
		names := parseSynced(record)
		for _, name := range names {
			inside := filepath.Join("/root", name)
			if !strings.HasPrefix(inside, "/root/") || inside != "/root/"+name || strings.HasPrefix(name, ".testr/") {
				t.Errorf("got %q", name)
			}
		}
		if again := parseSynced(formatSynced(names)); !slices.Equal(again, names) {
			t.Errorf("got %q; want %q", again, names)
		}
		for _, word := range newPlan(nil, names).changes() {
			if !isTreeName(word[1:]) {
				t.Errorf("got the change %q", word)
			}
		}
	})
}

func TestReadBatch(t *testing.T) {
	sum := strings.Repeat("a", 64)
	tests := []struct {
		name, answer string
		want         []found
		err          string
	}{
		{"all kinds", "-\nd\no\nl " + sum + "\nf\nx\nf " + sum + "\n=\n" + sum + "  ./f\n\\" + sum + " *./x\\\\\n.\n",
			[]found{{'-', ""}, {'d', ""}, {'o', ""}, {'l', sum}, {'f', sum}, {'x', sum}, {'f', sum}}, ""},
		{"a sum is missing", "f\nf\n=\n" + sum + "  ./f\n.\n", []found{{'f', ""}, {'f', ""}}, ""},
		{"a sum too many", "f\n=\n" + sum + "  ./a\nb\n.\n", []found{{'f', ""}}, ""},
		{"many sums too many", "f\n=\n" + strings.Repeat(sum+"\n", 100) + ".\n", []found{{'f', ""}}, ""},
		{"a long name", "f\n=\n" + sum + "  " + strings.Repeat("n", 200_000) + "\n.\n", []found{{'f', sum}}, ""},
		{"empty", "=\n.\n", nil, "empty"},
		{"cut off", "f\n=\n" + sum, nil, "unexpected EOF"},
		{"cut off before", "f\n", nil, "unexpected EOF"},
		{"too many", strings.Repeat("-\n", 11) + "=\n.\n", nil, "a line"},
		{"something else", "sh: not found\n=\n.\n", nil, "a line"},
	}
	for _, tt := range tests {
		got, err := readBatch(bufio.NewReader(strings.NewReader(tt.answer)), 10)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %v; want %q", tt.name, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(found{})); err == nil && diff != "" {
			t.Errorf("%s: -want +got:\n%s", tt.name, diff)
		}
	}
}

// Whatever an instance answers, it is no more than was asked for.
func FuzzReadBatch(f *testing.F) {
	f.Add([]byte("f\nd\n=\nabc  ./a\n.\n"))
	f.Add([]byte("-\n=\n.\nx 1\n=\n.\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(answer), 64)
		for {
			all, err := readBatch(r, 5)
			if err != nil {
				return
			}
			if len(all) == 0 || len(all) > 5 {
				t.Errorf("got %d; want 1 to 5", len(all))
			}
		}
	})
}

func TestTail(t *testing.T) {
	tests := []struct {
		name   string
		writes []string
		want   string
	}{
		{"nothing", nil, ""},
		{"blank", []string{" \n\n"}, ""},
		{"lines", []string{"a\nb", "c\n"}, ": a; bc"},
		{"hostile", []string{"\x1b[31m\xff\u202e"}, ": \uFFFD[31m\uFFFD\uFFFD"},
		{"remedy", []string{"tar: x: No space left on device\n"},
			": tar: x: No space left on device (free some space there)"},
		{"much", []string{strings.Repeat("x", 10_000) + "y"}, ": … " + strings.Repeat("x", 4<<10-1) + "y"},
		{"much in pieces", slices.Repeat([]string{"xxxx"}, 2000), ": … " + strings.Repeat("x", 4<<10)},
	}
	for _, tt := range tests {
		var got instance.Tail
		for _, write := range tt.writes {
			if n, err := io.WriteString(&got, write); err != nil || n != len(write) {
				t.Errorf("%s: got %d, %v", tt.name, n, err)
			}
		}
		if explain(&got) != tt.want {
			t.Errorf("%s: got %q; want %q", tt.name, explain(&got), tt.want)
		}
	}
}
