package event

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"testr/internal/protocol"

	"github.com/google/go-cmp/cmp"
)

func TestAppendJSON(t *testing.T) {
	at := time.Date(2023, 11, 14, 22, 13, 20, 120, time.FixedZone("", 3600))
	for _, tc := range []struct {
		name   string
		packet protocol.Packet
		want   string
	}{
		{"nothing", protocol.Packet{}, `{"runnable":false,"eof":false}`},
		{
			"everything",
			protocol.Packet{
				Has: protocol.HasTestID | protocol.HasParent | protocol.HasTags | protocol.HasFile |
					protocol.HasMIME | protocol.HasRoute | protocol.HasTime,
				TestID: "a (i=3)", ParentID: "a", Status: protocol.StatusFail, Tags: []string{"z", "a", "z"},
				Runnable: true, FileName: "log", Content: []byte("hi\n"), EOF: true,
				MIMEType: "text/plain", Route: "0/1", Time: at,
			},
			`{"test_id":"a (i=3)","parent_test_id":"a","test_status":"fail","test_tags":["z","a","z"],` +
				`"runnable":true,"file_name":"log","file_bytes":"aGkK","eof":true,"mime_type":"text/plain",` +
				`"route_code":"0/1","timestamp":"2023-11-14T21:13:20.000000120Z"}`,
		},
		{
			"present and empty",
			protocol.Packet{Has: protocol.HasTestID | protocol.HasTags | protocol.HasFile | protocol.HasMIME |
				protocol.HasRoute | protocol.HasParent},
			`{"test_id":"","parent_test_id":"","test_tags":[],"runnable":false,"file_name":"","file_bytes":"",` +
				`"eof":false,"mime_type":"","route_code":""}`,
		},
		{
			"escapes",
			protocol.Packet{Has: protocol.HasTestID, TestID: "\"\\\n\r\t\x1b\x7fä\u2028<"},
			`{"test_id":"\"\\\n\r\t\u001b` + "\x7fä\u2028" + `<","runnable":false,"eof":false}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := AppendJSON([]byte("before "), &tc.packet)
			if err != nil {
				t.Fatal(err)
			}
			if want := "before " + tc.want; string(got) != want {
				t.Errorf("got %s\nwant %s", got, want)
			}
			p, err := ParseJSON([]byte(tc.want))
			if err != nil {
				t.Fatal(err)
			}
			checkSameWire(t, &tc.packet, p)
		})
	}
}

func checkSameWire(t *testing.T, want, got *protocol.Packet) {
	t.Helper()
	w, err := protocol.AppendPacket(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	g, err := protocol.AppendPacket(nil, got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(w, g) {
		t.Errorf("got %x on the wire; want %x", g, w)
	}
}

func TestAppendJSONNotUTF8(t *testing.T) {
	p := &protocol.Packet{Has: protocol.HasTags, Tags: []string{"\xff"}}
	got, err := AppendJSON([]byte("kept"), p)
	if !errors.Is(err, protocol.ErrText) || !strings.Contains(err.Error(), "test_tags") || string(got) != "kept" {
		t.Errorf("got %q, %v; want an error of test_tags", got, err)
	}
}

func TestParseJSONErrors(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{``, "unexpected EOF"},
		{`[]`, "not an object"},
		{`{"test_id":"a"`, "unexpected EOF"},
		{`{"test_id":"a"} {}`, "something follows"},
		{`{"test_id":"a"}x`, "something follows"},
		{`{"tset_id":"a"}`, "tset_id: unknown key"},
		{`{"TEST_ID":"a"}`, "TEST_ID: unknown key"},
		{`{"bogus":null}`, "bogus: unknown key"},
		{`{"test_id":"a","test_id":"b"}`, "test_id: given twice"},
		{`{"test_id":null,"test_id":"b"}`, "test_id: given twice"},
		{`{"test_id":3}`, "test_id: 3 is of the wrong type"},
		{`{"test_id":"a\u0000"}`, "test_id: not text"},
		{`{"test_id":"\ud800"}`, "test_id: not text"},
		{`{"test_status":"passed"}`, `test_status: unknown status "passed"`},
		{`{"test_status":""}`, `test_status: unknown status ""`},
		{`{"test_tags":"a"}`, `test_tags: "a" is of the wrong type`},
		{`{"test_tags":["a",null]}`, "test_tags: null is no tag"},
		{`{"runnable":"yes"}`, "runnable: "},
		{`{"eof":1}`, "eof: 1 is of the wrong type"},
		{`{"file_name":"a","file_bytes":"?"}`, "file_bytes: illegal base64"},
		{`{"file_bytes":""}`, "file_bytes: there is no file_name"},
		{`{"timestamp":"now"}`, `timestamp: "now" is no time`},
		{`{"timestamp":"1969-12-31T23:59:59Z"}`, "timestamp: time out of range"},
		{`{"timestamp":"2106-02-07T06:28:16Z"}`, "timestamp: time out of range"},
		{`{"timestamp":"2300-01-01T00:00:00Z"}`, "timestamp: time out of range"},
		{"{\"test_id\":\"\xff\"}", "not text"},
	} {
		p, err := ParseJSON([]byte(tc.line))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, %v; want an error with %q", tc.line, p, err, tc.want)
		}
	}
}

func TestParseJSONDefaults(t *testing.T) {
	got, err := ParseJSON([]byte(` {"timestamp":"2023-11-14T23:13:20.5+01:00","test_id":"\ufffd","mime_type":null} `))
	want := &protocol.Packet{
		Has: protocol.HasTestID | protocol.HasTime, TestID: "\uFFFD", Runnable: true,
		Time: time.Date(2023, 11, 14, 22, 13, 20, 5e8, time.UTC),
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// The JSON form of the exact vectors is that of their files, but for the order
// of the tags and the parent, and gives back the packets' bytes.
func TestJSONVectors(t *testing.T) {
	const dir = "../protocol/testdata/vectors"
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Compare string
		Protocol      int
		Files         struct{ Stream, Events string }
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		if v.Compare != "exact" || v.Protocol == 1 { // whose packets the reader makes up itself
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			want := strings.SplitAfter(string(vectorFile(t, filepath.Join(dir, v.Files.Events))), "\n")
			r := protocol.NewReader(bytes.NewReader(vectorFile(t, filepath.Join(dir, v.Files.Stream))))
			for i := 0; ; {
				p, err := r.ReadPacket()
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				line, err := AppendJSON(nil, p)
				if err != nil {
					t.Fatal(err)
				}
				back, err := ParseJSON(line)
				if err != nil {
					t.Fatal(err)
				}
				checkSameWire(t, p, back)
				if p.Text { // is in pieces here, and joined there
					if i == 0 || !strings.HasPrefix(want[i-1], `{"runnable":true,"file_name":"stdout"`) {
						i++
					}
					continue
				}
				if got := asInVectors(t, p); got != want[i] {
					t.Fatalf("got  %.2000s\nwant %.2000s", got, want[i])
				}
				i++
			}
		})
	}
}

func asInVectors(t *testing.T, p *protocol.Packet) string {
	t.Helper()
	q := *p
	q.Has &^= protocol.HasParent
	q.ParentID = ""
	if p.Has&protocol.HasTags != 0 {
		q.Tags = slices.Compact(slices.Sorted(slices.Values(p.Tags)))
	}
	line, err := AppendJSON(nil, &q)
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

func vectorFile(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What is read and can be on the wire comes back with the same bytes.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"test_id":"a","test_status":"fail","test_tags":["b"],"file_name":"x","file_bytes":"aGk=",` +
		`"eof":true,"mime_type":"m","route_code":"0","parent_test_id":"p","timestamp":"2023-11-14T22:13:20.000000001Z"}`))
	f.Add([]byte(`{"test_id":"\ud83d\ude00\ufffd"}`))
	f.Add([]byte(`{"runnable":null,"test_tags":[]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		p, err := ParseJSON(line)
		if err != nil {
			return
		}
		first, err := AppendJSON(nil, p)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		again, err := ParseJSON(first)
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if _, err := protocol.AppendPacket(nil, p); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		checkSameWire(t, p, again)
	})
}

func TestFromCorrupt(t *testing.T) {
	for _, size := range []int{0, 1, maxDamage, maxDamage + 1, protocol.MaxPacket} {
		data := bytes.Repeat([]byte{0xB3}, size)
		packets := FromCorrupt(&protocol.CorruptError{Offset: 7, Data: data, Reason: "wrong"})
		want := max(1, (size+maxDamage-1)/maxDamage) + 1
		if len(packets) != want {
			t.Fatalf("%d octets: got %d packets; want %d", size, len(packets), want)
		}
		var got []byte
		for i, p := range packets {
			if p.TestID != ParserID || p.Runnable {
				t.Errorf("got test id %q, runnable %v", p.TestID, p.Runnable)
			}
			if _, err := protocol.AppendPacket(nil, p); err != nil {
				t.Errorf("%d octets: %v", size, err)
			}
			if i < want-1 {
				got = append(got, p.Content...)
				if p.FileName != "Packet data" || p.Status != protocol.StatusNone || p.EOF != (i == want-2) {
					t.Errorf("packet %d of %d is %q, %v, eof %v", i, want, p.FileName, p.Status, p.EOF)
				}
			}
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%d octets: the data differs", size)
		}
		last := packets[want-1]
		if last.FileName != "Parser Error" || last.Status != protocol.StatusFail ||
			!strings.HasPrefix(string(last.Content), "wrong") {
			t.Errorf("got %q, %v, %q; want the reason and fail", last.FileName, last.Status, last.Content)
		}
	}
}
