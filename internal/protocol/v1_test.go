package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// Whatever comes, a V1Reader ends, gives packets that have a form on the wire,
// and the same however the stream is cut; so does an AnyReader.
func FuzzV1Reader(f *testing.F) {
	for _, v := range allVectors(f) {
		if data := vectorFile(f, v.Files.Stream); len(data) < 2000 {
			f.Add(data)
		}
	}
	f.Add([]byte("test: a\ntest: b\nsuccess: a\nfailure: b [ multipart\nC a/b\nx\n1\r\ny0\r\n]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, reader := range map[string]func(io.Reader) source{
			"V1Reader":  func(r io.Reader) source { return NewV1Reader(r) },
			"AnyReader": func(r io.Reader) source { return NewAnyReader(r) },
		} {
			whole, _ := vectorForm(readV1(t, reader(bytes.NewReader(data))), true)
			single, _ := vectorForm(readV1(t, reader(iotest.OneByteReader(bytes.NewReader(data)))), true)
			if diff := cmp.Diff(whole, single); diff != "" {
				t.Fatalf("%s: not the same byte by byte (-whole +single):\n%s", name, diff)
			}
		}
	})
}

// S4: what never ends, or claims to be large, is read in constant memory.
func TestV1Memory(t *testing.T) {
	junk := func(head, unit string, size int) io.Reader {
		stream := []byte(strings.Repeat(unit, 1+4096/len(unit)))
		return io.MultiReader(strings.NewReader(head), &endless{stream: stream, left: size << 20})
	}
	for _, c := range []struct {
		name       string
		size       int // MiB
		head, unit string
	}{
		{"one line", 9, "", "x"},
		{"a directive that never ends", 9, "test: ", "x"},
		{"an outcome that never ends", 9, "test: foo\nfailure: ", "foo"},
		{"empty lines", 1, "", "\n"},
		{"tests that never end", 1, "", "test: foo\ntest: bar\n"},
		{"tags", 1, "", "tags: a b c d e f g h\n"},
		{"more and more tags", 1, "", "tags: " + manyTags() + "\n"},
		{"times", 1, "", "time: 2011-05-17 08:00:00Z\n"},
		{"a bracket that is never closed", 9, "test: foo\nfailure: foo [\n", "line\n"},
		{"a line in brackets that never ends", 9, "test: foo\nfailure: foo [\n", "x"},
		{"a chunk that never ends", 9, "test: foo\nfailure: foo [ multipart\nC a/b\nn\n3FFFFFFFFFFFFFFF\r\n", "x"},
		{"parts", 2, "test: foo\nfailure: foo [ multipart\n", "C a/b\nn\n1\r\nx0\r\n"},
		{"empty parts", 2, "test: foo\nfailure: foo [ multipart\n", "C a/b\nn\n0\r\n"},
		{"chunks", 9, "test: foo\nfailure: foo [ multipart\nC a/b\nn\n", "100\r\n" + strings.Repeat("x", 256)},
		{"a header that never ends", 9, "test: foo\nfailure: foo [ multipart\nC a/b\nn\n", "0"},
		{"damage", 1, "test: foo\n", "failure: foo [ multipart\nC\n]\ntest: foo\n"},
		{"what may be version 1", 9, "test foo\n", "hello\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := &watched{src: junk(c.head, c.unit, c.size)}
			r := NewV1Reader(src)
			src.look = func() { wantLittle(t, r.holds()) }
			drain(t, r)
			src = &watched{src: junk(c.head, c.unit, c.size)}
			a := NewAnyReader(src)
			src.look = func() {
				n := cap(a.held) + holdsItems(a.out)
				if a.v1 != nil {
					n += a.v1.holds()
				}
				wantLittle(t, n)
			}
			drain(t, a)
		})
	}
}

// watched is a source that looks at its reader before it gives it more.
type watched struct {
	src  io.Reader
	look func()
}

func (w *watched) Read(b []byte) (int, error) {
	w.look()
	return w.src.Read(b)
}

func wantLittle(t *testing.T, octets int) {
	t.Helper()
	if octets > 2*maxDetails {
		t.Fatalf("holds %d octets; want at most %d", octets, 2*maxDetails)
	}
}

// holds returns about how many octets r holds.
func (r *V1Reader) holds() int {
	n := cap(r.win.buf) + holdsItems(r.out)
	if d := r.details; d != nil {
		n += len(d.cur.content)
		for _, p := range d.parts {
			n += len(p.content) + len(p.name) + len(p.mime) + partCost
		}
	}
	return n
}

func holdsItems(items []v1Item) (n int) {
	for _, i := range items {
		n += 64
		if i.packet != nil {
			n += len(i.packet.Content) + partCost
		}
	}
	return n
}

// drain reads r to its end.
func drain(t *testing.T, r source) {
	t.Helper()
	for {
		_, err := r.ReadPacket()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil && !errors.As(err, new(*CorruptError)):
			t.Fatalf("got %v; want EOF", err)
		}
	}
}

func manyTags() string {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "tag-%d ", i)
	}
	return b.String()
}

// An attachment that doesn't fit into a packet comes in several, whole.
func TestV1LargeAttachment(t *testing.T) {
	content := strings.Repeat("0123456789abcde\n", 1<<20)
	for _, stream := range []string{
		"test: foo\nfailure: foo [\n" + content + "]\n",
		fmt.Sprintf("test: foo\nfailure: foo [ multipart\nContent-Type: a/b\ntraceback\n%X\r\n%s0\r\n]\n",
			len(content), content),
	} {
		var got strings.Builder
		pieces := readV1(t, NewV1Reader(strings.NewReader(stream)))
		for i, p := range pieces[1 : len(pieces)-1] {
			if p.packet.FileName != "traceback" || p.packet.EOF != (i == len(pieces)-3) {
				t.Errorf("packet %d: got file %q, EOF %v", i, p.packet.FileName, p.packet.EOF)
			}
			got.Write(p.packet.Content)
		}
		if got.String() != content {
			t.Errorf("got %d octets, not those of the stream; want %d", got.Len(), len(content))
		}
		if last := pieces[len(pieces)-1].packet; last.Status != StatusFail {
			t.Errorf("got the status %v; want fail", last.Status)
		}
	}
}

// What a test printed does not cost it its outcome when it looks like the
// beginning of another one.
func TestV1Beside(t *testing.T) {
	for _, c := range []struct{ stream, want string }{
		{"test: a\ntest: b\nsuccess: b\nsuccess: a\n", "a inprogress, b inprogress, b success, a success"},
		{"test: a\ntest: b\nsuccess: b\nfailure: a [\nx\n]\n", "a inprogress, b inprogress, b success, a , a fail"},
		{"test: a\ntest: b\nsuccess: b\ntest: c\nsuccess: c\n",
			"a inprogress, b inprogress, b success, c inprogress, c success, a , a fail"},
		{"test: a\ntest: b\ntest: c\nsuccess: c\n",
			"a inprogress, b inprogress, a , a fail, c inprogress, c success, b , b fail"},
		{"test: a\ntest b\nsuccess: a\n", "a inprogress, text, a success"},
		{"test a\ntest: b\nsuccess: a\n", "a inprogress, text, a success"},
	} {
		var got []string
		for _, p := range readV1(t, NewV1Reader(strings.NewReader(c.stream))) {
			if p.packet.Text {
				got = append(got, "text")
				continue
			}
			got = append(got, p.packet.TestID+" "+p.packet.Status.String())
		}
		if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.stream, diff)
		}
	}
}

// Damage names the octets that were given up and where they stand; those after it
// are text up to the bracket.
func TestV1Damage(t *testing.T) {
	stream := "test: a\nfailure: a [ multipart\nC a/b\nlog\n2\r\nxxzz\ntime: x\ntags: no\n]\n" +
		"tags: yes\ntest: b\nsuccess: b\n"
	pieces := joined(readV1(t, NewV1Reader(strings.NewReader(stream))))
	var got []string
	for _, p := range pieces {
		switch {
		case p.damage != nil:
			got = append(got, fmt.Sprintf("damage %d %q", p.damage.Offset, p.damage.Data))
		case p.packet.Text:
			got = append(got, fmt.Sprintf("text %q", p.packet.Content))
		default:
			got = append(got, fmt.Sprintf("%s %v %q%q", p.packet.TestID, p.packet.Status, p.packet.Content, p.packet.Tags))
		}
	}
	want := []string{
		`a inprogress ""[]`, `a  "xx"[]`, `a fail ""[]`, `damage 46 "zz\n"`, `text "time: x\ntags: no\n]\n"`,
		`b inprogress ""[]`, `b success ""["yes"]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
