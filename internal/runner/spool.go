package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	spoolMemory = 1 << 20  // what a spool holds before it uses a file
	spoolPiece  = 64 << 10 // what it gives back at a time
)

// spool holds text of any length until it is known what it is: a little in
// memory, more in a temporary file that has no name.
type spool struct {
	buf  bytes.Buffer
	file *os.File
	size int64
}

func (s *spool) add(text []byte) error {
	s.size += int64(len(text))
	if s.file == nil && s.buf.Len()+len(text) <= spoolMemory {
		_, err := s.buf.Write(text)
		return err
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "testr-spool-")
		if err != nil {
			return fmt.Errorf("make a temporary file: %w", err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("make a temporary file: %w", err)
		}
	}
	if _, err := s.file.Write(text); err != nil {
		return fmt.Errorf("write to a temporary file: %w", err)
	}
	return nil
}

// replay gives back what was added, in pieces that belong to the callee.
func (s *spool) replay(give func([]byte) error) error {
	var r io.Reader = &s.buf
	if s.file != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read from a temporary file: %w", err)
		}
		r = io.MultiReader(&s.buf, s.file)
	}
	for {
		piece := make([]byte, spoolPiece)
		n, err := io.ReadFull(r, piece)
		if n > 0 {
			if err := give(piece[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("read from a temporary file: %w", err)
		}
	}
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}
