package repo

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"testr/internal/event"
	"testr/internal/protocol"
)

// S6: a bomb unpacks to no more than it says, and says no more than is allowed.
func TestBomb(t *testing.T) {
	c := newCodec()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := enc.EncodeAll(make([]byte, 80<<20), nil)
	for name, value := range map[string][]byte{
		"says little":   append([]byte{100}, frame...),
		"says much":     append([]byte{0xff, 0xff, 0xff, 0xff, 0x7f}, frame...),
		"says the most": append([]byte{0x80, 0x80, 0x80, 0x20}, frame...),
		"more frames":   append(c.pack(nil, []byte("x")), frame...),
		"cut short":     c.pack(nil, []byte("hello"))[:8],
		"empty":         nil,
		"says too much": append([]byte{6}, c.pack(nil, []byte("hello"))[1:]...),
	} {
		if _, err := c.unpack(value, nil); err == nil {
			t.Errorf("%s: unpacked", name)
		}
	}
	if raw, err := c.unpack(c.pack([]byte{}, []byte("hello")), nil); err != nil || string(raw) != "hello" {
		t.Errorf("got %q, %v", raw, err)
	}
}

// What waits for its commit is as much as it takes, whichever field has it.
func TestSizeOf(t *testing.T) {
	const much = 1 << 20
	text := strings.Repeat("x", much)
	for name, p := range map[string]protocol.Packet{
		"test id": {TestID: text}, "parent": {ParentID: text}, "tags": {Tags: []string{text}}, "file name": {FileName: text},
		"MIME type": {MIMEType: text}, "content": {Content: []byte(text)}, "route": {Route: text},
	} {
		if n := sizeOf(packet(p)); n < much {
			t.Errorf("%s of %d bytes: got %d", name, much, n)
		}
	}
}

// An event that no packet can be made of is refused, not half stored, and what
// came before it stays.
func TestRefusedEvent(t *testing.T) {
	dir := newDir(t)
	r := openRepo(t, dir)
	w, err := r.Begin(RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	events := []event.Event{status("good", protocol.StatusSuccess, 1), file("big", "f", make([]byte, 5<<20)),
		status("never", protocol.StatusSuccess, 1)}
	var failed error
	for _, e := range events {
		if err := w.Event(e); err != nil {
			failed = err
		}
	}
	if err := w.Sync(); err == nil {
		t.Error("Sync: no error")
	}
	if _, err := w.Close(End{State: Finished}); err == nil {
		t.Errorf("Close: no error (Event: %v)", failed)
	}
	closeRepo(t, r)
	if info, err := queryRepo(t, dir).Latest(); err != nil || info.Events != 1 || info.State != Interrupted {
		t.Errorf("got %+v, %v; want one event", info, err)
	}
}

func FuzzChunk(f *testing.F) {
	c := newCodec()
	full := chunk{first: 7}
	for _, e := range []event.Event{asked("a", "b"), status("a", protocol.StatusFail, 1), file("b", "f", []byte("x")),
		{Kind: event.KindWarning, Worker: 2, Detail: "d"}} {
		if err := full.add(e); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(uint64(7), uint64(full.count), full.raw)
	f.Add(uint64(0), uint64(1), []byte{1, 0})
	f.Fuzz(func(t *testing.T, first, count uint64, raw []byte) {
		value := (&chunk{first: first, count: int(count & 0xffff), raw: raw}).value(c)
		events, err := decodeChunk(value, c)
		if err != nil {
			return
		}
		// What was read can be written again, and reads the same.
		again := chunk{first: first}
		for _, e := range events {
			if err := again.add(e); err != nil {
				return // a packet that the wire allows and we never write
			}
		}
		twice, err := decodeChunk(again.value(c), c)
		if err != nil || !cmp.Equal(events, twice) {
			t.Errorf("%v -want +got:\n%s", err, cmp.Diff(events, twice))
		}
	})
}

func FuzzColumns(f *testing.F) {
	fold := newFold()
	for i := range 40 {
		fold.take(randomEvent(rand.New(rand.NewPCG(3, uint64(i))), i%20))
	}
	n := len(fold.Tests())
	f.Add(encodeTests(fold.Tests(), make([]uint64, n), make([]uint64, n)))
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := decodeTests(raw)
		if err != nil {
			return
		}
		once := encodeTests(testsOf(c), c.ids, c.parents)
		again, err := decodeTests(once)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, encodeTests(testsOf(again), again.ids, again.parents)) {
			t.Error("columns that were read and written again differ")
		}
	})
}

// What is read of a value and written again reads the same, and nothing that can't be
// read does more than fail.
func FuzzValues(f *testing.F) {
	c := catalog{next: 9, tests: 5, leases: reference{true, 7}, runs: []runRef{{0, 1}, {3, 2}},
		profiles: []profileRef{{name: "a", since: 2, runs: 2, last: 3, tests: 5, full: true, failed: 1,
			failing: reference{true, 3}}, {name: "b", last: -1}}}
	p := parts{[]chunkRef{{first: 0, sum: 1}, {first: 7, sum: 2}}, map[string][]uint32{"a": {1, 2}, "b": {}}}
	g := progress{8, 2, 77, reference{true, 5}}
	set := []failingEntry{{1, Failing{Run: 2, Status: protocol.StatusFail, LastSeq: 4}}, {4, Failing{NotRun: "lost"}}}
	history := []said{{1, 3, 0}, {2, saidAgain | 6, 3}, {9, saidOpen, 0}}
	for kind, value := range [][]byte{c.encode(), p.encode(0), g.encode(0), encodeFailing(set), encodeHistory(history)} {
		f.Add(kind, value)
	}
	r := &Repository{codec: newCodec()}
	f.Add(5, r.encodeIDs(1, []string{"a", "b", ""}))
	f.Fuzz(func(t *testing.T, kind int, value []byte) {
		first, ok := again(r, kind, value)
		if !ok {
			return
		}
		second, ok := again(r, kind, first)
		if !ok || !bytes.Equal(first, second) {
			t.Errorf("kind %d: %x reads as %x, and that as %x", kind, value, first, second)
		}
	})
}

// again reads a value of some kind and writes it again. Those with a checksum of
// their own are read as if that were right.
func again(r *Repository, kind int, value []byte) ([]byte, bool) {
	sealed := func(place string) []byte {
		if n := len(value) - 4; n >= 0 {
			return seal(place, bytes.Clone(value[:n]))
		}
		return nil
	}
	switch kind {
	case 0:
		c, err := decodeCatalog(value)
		if err != nil {
			return nil, false
		}
		return c.encode(), true
	case 1:
		p, err := decodeParts(0, sealed(placeOfParts(0)))
		if err != nil {
			return nil, false
		}
		return p.encode(0), true
	case 2:
		p, err := decodeProgress(0, sealed(placeOfProgress(0)))
		if err != nil {
			return nil, false
		}
		return p.encode(0), true
	case 3:
		set, err := decodeFailing(value)
		return encodeFailing(set), err == nil
	case 4:
		var all []said
		err := decodeHistory(value, 1<<20, func(s said) { all = append(all, s) })
		return encodeHistory(all), err == nil
	case 5:
		ids, err := r.decodeIDs(1, sealed(placeOfIDs(1)))
		return r.encodeIDs(1, ids), err == nil
	}
	return nil, false
}

// testsOf makes tests of columns, with their numbers as ids.
func testsOf(c *columns) []*event.Test {
	var tests []*event.Test
	for i := range c.ids {
		t := new(event.Test)
		c.test(i, t)
		t.ID, t.ParentID = string(be64(c.ids[i])), string(be64(c.parents[i]))
		tests = append(tests, t)
	}
	return tests
}
