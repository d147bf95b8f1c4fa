package instance

import (
	"encoding/binary"
	"io"
	"os"
)

// What testr and its guardian say to each other are frames: a header of
// headerSize bytes, and as many bytes of body as it tells.
const headerSize = 16

// The kinds of frames. The first three go to the guardian.
const (
	frameStart  uint32 = iota + 1 // id; value: how many arguments; body: a program; with three descriptors
	frameSignal                   // id; value: a signal
	frameClose

	frameStarted  // id; value: process id
	frameFailed   // id; value: errno
	frameExited   // id; value: wait status
	frameLeftover // value: process id; body: command line
	frameClosed   // id: how many processes live on; value: how many were left over
)

// frame is one message. A command goes by an id that testr gives, and not by
// the number of its process, which may be another's by the time that the frame
// is read.
type frame struct {
	kind, id, value uint32
	body            []byte
}

func (f frame) bytes() []byte {
	b := make([]byte, 0, headerSize+len(f.body))
	for _, n := range []uint32{f.kind, f.id, f.value, uint32(len(f.body))} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(b, f.body...)
}

// parseHeader takes a header apart and makes room for the body.
func parseHeader(b []byte) frame {
	n := binary.LittleEndian.Uint32
	return frame{kind: n(b), id: n(b[4:]), value: n(b[8:]), body: make([]byte, n(b[12:]))}
}

func readFrame(r io.Reader) (frame, error) {
	b := make([]byte, headerSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return frame{}, err
	}
	f := parseHeader(b)
	_, err := io.ReadFull(r, f.body)
	return f, err
}

// writeFrame writes a frame, and files with it: whoever reads the header gets
// them. Another frame must not be written at the same time.
func writeFrame(channel *os.File, f frame, files ...*os.File) error {
	b, sent := f.bytes(), 0
	if len(files) > 0 {
		var err error
		if sent, err = sendFiles(channel, b, files); err != nil || sent == len(b) {
			return err
		}
	}
	_, err := channel.Write(b[sent:])
	return err
}

// readRequest reads a frame and the descriptors that came with it, which are
// the caller's to close. Some may be missing if the process has no more room.
func readRequest(channel *os.File) (frame, []int, error) {
	header := make([]byte, headerSize)
	n, fds, err := receiveFiles(channel, header)
	if err != nil {
		return frame{}, nil, err
	}
	if _, err = io.ReadFull(channel, header[n:]); err != nil {
		return frame{}, fds, err
	}
	f := parseHeader(header)
	_, err = io.ReadFull(channel, f.body)
	return f, fds, err
}
