package protocol

import (
	"fmt"
	"io"
)

// Writer writes packets. It is not safe for concurrent use.
type Writer struct {
	// Version20 leaves parent test ids out, for readers that don't know
	// subunit 2.1. It is set before the first packet is written.
	Version20 bool

	dst io.Writer
	buf []byte
}

// NewWriter returns a Writer to w. It buffers nothing between packets, but keeps
// a buffer as large as its largest packet.
func NewWriter(w io.Writer) *Writer { return &Writer{dst: w} }

// WritePacket writes p with exactly one Write, or, if its file is too large for
// one packet, the packets of Split with one Write each. It keeps nothing of p.
// An error of AppendPacket means that nothing was written and that the Writer
// can be used further; any other comes from the destination.
func (w *Writer) WritePacket(p *Packet) error {
	if err := check(p); err != nil {
		return err
	}
	has := p.Has
	if w.Version20 {
		has &^= HasParent
	}
	if wireLength(p, has) <= MaxPacket {
		return w.write(p, has)
	}
	pieces, err := Split(p)
	if err != nil {
		return err
	}
	for _, piece := range pieces {
		if err := w.write(piece, piece.Has&has); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) write(p *Packet, has Fields) error {
	b, err := appendFields(w.buf[:0], p, has)
	if err != nil {
		return err
	}
	w.buf = b
	n, err := w.dst.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write packet: %w", err)
	}
	return nil
}

// Fits reports whether p can be written as it is: Split returns it alone then.
func Fits(p *Packet) bool { return check(p) == nil && wireLength(p, p.Has) <= MaxPacket }

// Split returns p in packets that fit on the wire: p alone if it does, else
// pieces of its file. Each piece has what the file is known by (route code, test id,
// name) and its MIME type; status, tags, time, parent and end of file come with
// the last. The pieces share p's content and strings. The errors are those of
// AppendPacket; ErrTooLarge means that p is too large without its content.
func Split(p *Packet) ([]*Packet, error) {
	if err := check(p); err != nil {
		return nil, err
	}
	length := wireLength(p, p.Has)
	if length <= MaxPacket {
		return []*Packet{p}, nil
	}
	room := MaxPacket - (length - len(p.Content))
	if p.Has&HasFile == 0 || room <= 0 {
		return nil, fmt.Errorf("packet of %d octets: %w", length, ErrTooLarge)
	}
	var pieces []*Packet
	rest := p.Content
	for len(rest) > room {
		pieces = append(pieces, &Packet{
			Has:      p.Has & (HasRoute | HasTestID | HasFile | HasMIME),
			Runnable: p.Runnable,
			Text:     p.Text,
			Route:    p.Route,
			TestID:   p.TestID,
			FileName: p.FileName,
			MIMEType: p.MIMEType,
			Content:  rest[:room:room],
		})
		rest = rest[room:]
	}
	last := *p
	last.Content = rest
	return append(pieces, &last), nil
}
