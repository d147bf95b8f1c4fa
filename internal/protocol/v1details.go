package protocol

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

const (
	// maxDetails is how much of the details of an outcome is held until their
	// end; what is longer is delivered before that.
	maxDetails = 4 << 20

	// maxPiece is how much of a file goes into one packet: it leaves room for an
	// id, a file name, a MIME type and the tags.
	maxPiece = MaxPacket - 4*maxLine

	// partCost is about what a part takes beside its octets.
	partCost = 256
)

// detailPhase is what comes next in details.
type detailPhase uint8

const (
	bracketed  detailPhase = iota // a line of the only part
	partHeader                    // the MIME type of a part, or the end
	partName
	chunkSize
	chunkBody
)

// v1Details are the details of an outcome, as they are read.
type v1Details struct {
	outcome v1Line
	phase   detailPhase
	left    int64 // of the chunk
	parts   []v1Part
	index   map[string]int // by file name: the last one of a name is the one that counts
	cur     v1Part         // the part that is read
	size    int            // of all parts
}

// v1Part is a file of the details.
type v1Part struct {
	name, mime string
	content    []byte
}

const (
	mimeTraceback = `text/x-traceback; charset="utf8"`
	mimeLost      = mimeTraceback + `; language="python"`
)

// newDetails begins bracketed details, or such in parts.
func newDetails(outcome v1Line, multipart bool) *v1Details {
	d := &v1Details{outcome: outcome, index: map[string]int{}}
	switch {
	case multipart:
		d.phase = partHeader
	case outcome.status == StatusSuccess:
		d.cur = v1Part{name: "message", mime: "text/plain"}
	case outcome.status == StatusSkip:
		d.cur = v1Part{name: "reason", mime: "text/plain"}
	default:
		d.cur = v1Part{name: "traceback", mime: mimeTraceback}
	}
	return d
}

// endPart puts the part that was read to the others.
func (d *v1Details) endPart() {
	if i, ok := d.index[d.cur.name]; ok {
		d.parts[i] = d.cur
	} else {
		d.index[d.cur.name] = len(d.parts)
		d.parts = append(d.parts, d.cur)
	}
	d.cur = v1Part{}
}

// add adds content to the part that is read.
func (d *v1Details) add(content []byte) {
	d.cur.content = append(d.cur.content, content...)
	d.size += len(content)
}

// line takes a line of details in parts, outside of a chunk. It returns what is
// wrong with it.
func (d *v1Details) line(line []byte) (reason string) {
	text := bytes.TrimSuffix(line, []byte("\n"))
	switch d.phase {
	case partHeader:
		_, value, ok := bytes.Cut(text, []byte(" "))
		switch {
		case !ok:
			return "the header of a part has no value"
		case bytes.IndexByte(value, '/') < 0:
			return "the MIME type of a part has no slash"
		case !utf8.Valid(value) || bytes.IndexByte(value, 0) >= 0:
			return "the MIME type of a part is no text"
		}
		d.cur = v1Part{mime: string(value)}
		d.size += len(value) + partCost
		d.phase = partName
	case partName:
		d.cur.name = cleanText(text)
		d.size += len(text)
		d.phase = chunkSize
	case chunkSize:
		return d.chunk(line)
	}
	return ""
}

// chunk takes the line with the size of a chunk.
func (d *v1Details) chunk(line []byte) (reason string) {
	digits, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return "the size of a chunk has no carriage return"
	}
	n, err := strconv.ParseUint(string(digits), 16, 62)
	if err != nil {
		return "the size of a chunk is no number"
	}
	switch d.left = int64(n); n {
	case 0:
		d.phase = partHeader
		d.endPart()
	default:
		d.phase = chunkBody
	}
	return ""
}

// readDetails takes a line, or a part of a chunk, of the details of the running
// test's outcome.
func (r *V1Reader) readDetails() {
	d := r.details
	if d.phase == chunkBody {
		r.readChunk()
		return
	}
	line, whole := r.line()
	if line == nil {
		return
	}
	atStart := !r.midLine
	r.midLine = !whole
	end := atStart && whole && len(bytes.TrimSuffix(line, []byte("\n"))) == 1 && line[0] == ']'
	switch {
	case end && d.phase == bracketed:
		d.endPart()
		r.endDetails()
	case end && d.phase == partHeader:
		r.endDetails()
	case d.phase == bracketed:
		if atStart && bytes.HasPrefix(line, []byte(" ]")) {
			d.add(line[1:])
		} else {
			d.add(line)
		}
	default:
		reason := "a line in the details is too long"
		if whole {
			reason = d.line(line)
		}
		if reason != "" {
			r.badDetails(line, reason)
			return
		}
	}
	r.drop(len(line))
	if d.size > maxDetails {
		r.spill(d)
	}
}

// readChunk takes what is held of a chunk.
func (r *V1Reader) readChunk() {
	held := r.win.held()
	if len(held) == 0 {
		r.fill()
		return
	}
	d := r.details
	held = held[:min(int64(len(held)), d.left)]
	d.add(held)
	d.left -= int64(len(held))
	if d.left == 0 {
		d.phase = chunkSize
	}
	r.drop(len(held))
	if d.size > maxDetails {
		r.spill(d)
	}
}

// endDetails delivers the details, whose end was read, and the outcome.
func (r *V1Reader) endDetails() {
	r.deliverParts(r.details)
	r.outcome(r.details.outcome.status)
}

// badDetails ends the details before their end: what is damaged is reported, and
// up to the closing bracket everything is text.
func (r *V1Reader) badDetails(line []byte, reason string) {
	err := &CorruptError{Offset: r.win.off, Data: bytes.Clone(line), Reason: reason}
	r.spill(r.details)
	r.outcome(r.details.outcome.status)
	r.out = append(r.out, v1Item{err: err})
	r.drop(len(line))
	r.skipping = true
}

// spill delivers what is held of details that are too long to be held.
func (r *V1Reader) spill(d *v1Details) {
	r.deliverParts(d)
	if d.phase == bracketed || d.phase == chunkBody || d.phase == chunkSize {
		for len(d.cur.content) > 0 {
			n := min(len(d.cur.content), maxPiece)
			r.file(d.cur.name, d.cur.mime, d.cur.content[:n:n], false)
			d.cur.content = d.cur.content[n:]
		}
		d.cur.content = nil
	}
	d.size = 0
}

// deliverParts delivers the parts that are whole.
func (r *V1Reader) deliverParts(d *v1Details) {
	for _, p := range d.parts {
		for len(p.content) > maxPiece {
			r.file(p.name, p.mime, p.content[:maxPiece:maxPiece], false)
			p.content = p.content[maxPiece:]
		}
		r.file(p.name, p.mime, p.content, true)
	}
	d.parts = nil
	clear(d.index)
}
