package protocol

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// Streams of version 1 are read by AnyReader as by V1Reader.
func TestAnyReaderV1Vectors(t *testing.T) {
	for _, v := range v1Vectors(t) {
		stream := vectorFile(t, v.Files.Stream)
		want, _ := vectorForm(readV1(t, NewV1Reader(bytes.NewReader(stream))), true)
		for _, c := range chunkings {
			r := NewAnyReader(c.src(stream))
			got, _ := vectorForm(readV1(t, r), true)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s: not as V1Reader (-V1Reader +got):\n%.2000s", v.Name, c.name, diff)
			}
			if r.Version() != 1 && v.Name != "v1-empty" {
				t.Errorf("%s, %s: got version %d; want 1", v.Name, c.name, r.Version())
			}
		}
	}
}

func TestAnyReaderV2Vectors(t *testing.T) {
	for _, v := range vectors(t) {
		stream := vectorFile(t, v.Files.Stream)
		if len(stream) > 1<<20 {
			continue
		}
		want := readV1(t, NewReader(bytes.NewReader(stream)))
		for _, c := range chunkings[:3] {
			r := NewAnyReader(c.src(stream))
			got := readV1(t, r)
			wantEvents, _ := vectorForm(want, true)
			gotEvents, _ := vectorForm(got, true)
			if diff := cmp.Diff(wantEvents, gotEvents); diff != "" || r.Version() == 1 {
				t.Errorf("%s, %s: version %d, not as Reader (-Reader +got):\n%.2000s", v.Name, c.name, r.Version(), diff)
			}
		}
	}
}

// anyCase is a stream, what comes of it, and its version.
type anyCase struct {
	name, stream string
	version      int
	want         []string // "id status" of packets, "text" of text
}

func anyCases(t *testing.T) []anyCase {
	t.Helper()
	packet, err := AppendPacket(nil, &Packet{Has: HasTestID, TestID: "two", Status: StatusSuccess})
	if err != nil {
		t.Fatal(err)
	}
	v2 := string(packet)
	long := strings.Repeat("a line of output\n", maxUndecided/16)
	return []anyCase{
		{"text alone", "hello\n", 0, []string{`"hello\n"`}},
		{"packets", v2, 2, []string{"two success"}},
		{"text like version 1, then packets", "test: foo\ntime: 2011-05-17 08:00:00Z up\n" + v2, 2,
			[]string{`"test: foo\ntime: 2011-05-17 08:00:00Z up\n"`, "two success"}},
		{"half a line, then packets", "test: fo" + v2, 2, []string{`"test: fo"`, "two success"}},
		{"version 1", "test: foo\nsuccess: foo\n", 1, []string{"foo inprogress", "foo success"}},
		{"version 1 without colons", "test foo\nhello\nfailure foo [\nx\n]\n", 1,
			[]string{"foo inprogress", `"hello\n"`, "foo ", "foo fail"}},
		{"tags before it count", "hello\ntags: t\ntest foo\nsuccess foo\n", 1,
			[]string{`"hello\n"`, "foo inprogress", "foo success [t]"}},
		{"an outcome of another test", "test foo\nsuccess: bar\n" + v2, 2,
			[]string{`"test foo\nsuccess: bar\n"`, "two success"}},
		{"an outcome of no test", "success: bar\n" + v2, 2, []string{`"success: bar\n"`, "two success"}},
		{"an outcome right before packets", "test: foo\nsuccess: foo\n" + v2, 2,
			[]string{`"test: foo\nsuccess: foo\n"`, "two success"}},
		{"version 1, then packets", "test: foo\nsuccess: foo\nok\n" + v2, 1,
			[]string{"foo inprogress", "foo success", `"ok\n` + v2 + `"`}},
		{"begun at the end", "test: foo\n", 1, []string{"foo inprogress", "foo ", "foo fail"}},
		{"perhaps begun at the end", "test foo\n", 0, []string{`"test foo\n"`}},
		{"begun, and much text", "test: foo\n" + long + "success: foo\n", 1,
			[]string{"foo inprogress", `"` + long + `"`, "foo success"}},
		{"perhaps begun, and much text", "test foo\n" + long + v2, 2,
			[]string{`"test foo\n` + long + `"`, "two success"}},
		{"damage before it", "\xb3\x29\x00" + strings.Repeat("x", 9) + "\ntest: foo\nsuccess: foo\n", 1,
			[]string{"damage", "foo inprogress", "foo success"}},
	}
}

func TestAnyReader(t *testing.T) {
	for _, c := range anyCases(t) {
		for _, src := range chunkings {
			r := NewAnyReader(src.src([]byte(c.stream)))
			var got []string
			for _, p := range joined(readV1(t, r)) {
				switch {
				case p.damage != nil:
					got = append(got, "damage")
				case p.packet.Text:
					got = append(got, `"`+string(p.packet.Content)+`"`)
				default:
					line := p.packet.TestID + " " + p.packet.Status.String()
					if len(p.packet.Tags) > 0 {
						line += " [" + strings.Join(p.packet.Tags, " ") + "]"
					}
					got = append(got, line)
				}
			}
			want := make([]string, len(c.want))
			for i, w := range c.want {
				want[i] = strings.ReplaceAll(w, `\n`, "\n")
			}
			if c.name == "damage before it" {
				got, want = got[len(got)-2:], want[len(want)-2:] // how much is given up depends on what is held
			}
			if diff := cmp.Diff(want, got); diff != "" || r.Version() != c.version {
				t.Errorf("%s, %s: version %d; want %d; (-want +got):\n%.2000s", c.name, src.name, r.Version(), c.version, diff)
			}
		}
	}
}

// The source's error ends the stream, in whichever version and however late
// that was decided.
func TestAnyReaderSourceError(t *testing.T) {
	broken := errors.New("broken")
	for _, stream := range []string{"", "text\n", "test: foo\n", "test: foo\nsuccess: foo\ntest: bar\n"} {
		r := NewAnyReader(io.MultiReader(strings.NewReader(stream), iotest.ErrReader(broken)))
		var err error
		for err == nil {
			_, err = r.ReadPacket()
		}
		if !errors.Is(err, broken) || err.Error() != "read subunit stream: broken" {
			t.Errorf("%q: got %v; want that of the source", stream, err)
		}
	}
}
