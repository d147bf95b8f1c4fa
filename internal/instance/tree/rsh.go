package tree

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
)

// What ServeRsh and a Sync say to each other over the socket. ServeRsh begins
// with a length in four bytes and the command that rsync wants, a NUL after each
// word; the rest is the command's input. The Sync answers in frames: a kind, a
// length in four bytes, and as many bytes.
const (
	frameOutput = 'o' // of the command
	frameStatus = 'x' // its exit status, one byte, and the last frame

	maxCommand = 64 << 10
	maxFrame   = 64 << 10
)

// lostStatus is the exit status of a command that has none, as ssh has it.
const lostStatus = 255

// ServeRsh is all that the program does that Options.Rsh names. args are the
// arguments that were put behind it: a socket, and what rsync added. It copies
// stdin and stdout to and from the command on the instance, and returns the
// command's exit status when that has ended; the error says why there is none,
// and the status is 255 then.
//
// A goroutine that reads stdin may outlive it: the program is to end next.
func ServeRsh(args []string, stdin io.Reader, stdout io.Writer) (exitStatus int, err error) {
	if len(args) < 2 {
		return lostStatus, errors.New("connect rsync: it is for rsync's -e, behind a socket's path")
	}
	conn, err := net.Dial("unix", args[0])
	if err != nil {
		return lostStatus, fmt.Errorf("connect rsync: %w", err)
	}
	defer func() { _ = conn.Close() }()
	words := formatSynced(args[1:])
	if _, err := conn.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(words))), words...)); err != nil {
		return lostStatus, fmt.Errorf("connect rsync: %w", err)
	}
	go func() {
		_, _ = io.Copy(conn, stdin)
		if c, ok := conn.(*net.UnixConn); ok {
			_ = c.CloseWrite()
		}
	}()
	status, err := readFrames(bufio.NewReaderSize(conn, maxFrame), stdout)
	if err != nil {
		return lostStatus, fmt.Errorf("connect rsync: %w", err)
	}
	return status, nil
}

// readFrames writes out what a command writes, and gives its exit status.
func readFrames(r *bufio.Reader, stdout io.Writer) (int, error) {
	for {
		var header [5]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return lostStatus, noEOF(err)
		}
		size := int64(binary.LittleEndian.Uint32(header[1:]))
		switch {
		case header[0] == frameOutput && size <= maxFrame:
			if _, err := io.CopyN(stdout, r, size); err != nil {
				return lostStatus, noEOF(err)
			}
		case header[0] == frameStatus && size == 1:
			status, err := r.ReadByte()
			return int(status), err
		default:
			return lostStatus, fmt.Errorf("there is a frame %q of %d bytes", header[0], size)
		}
	}
}

// frames writes what is written to it as output.
type frames struct{ w io.Writer }

// Write writes frames.
func (f frames) Write(b []byte) (int, error) {
	for piece := range slices.Chunk(b, maxFrame) {
		if err := f.frame(frameOutput, piece); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (f frames) status(status int) error { return f.frame(frameStatus, []byte{byte(status)}) }

func (f frames) frame(kind byte, b []byte) error {
	_, err := f.w.Write(append(binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(b))), b...))
	return err
}

// readCommand reads the command that rsync wants, and refuses what is not
// rsync's own server.
func readCommand(r io.Reader) ([]string, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, noEOF(err)
	}
	size := binary.LittleEndian.Uint32(header[:])
	if size > maxCommand {
		return nil, fmt.Errorf("rsync wants a command of %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, noEOF(err)
	}
	words := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	// The first one is the host.
	if len(words) < 3 || words[0] != rsyncHost || words[1] != "rsync" || words[2] != "--server" {
		return nil, fmt.Errorf("rsync wants the command %q", words)
	}
	return words[1:], nil
}
