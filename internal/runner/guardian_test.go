package runner

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"testr/internal/instance"
)

// The test binary serves as the testr that guards the workers, and as a filter
// for hooks.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "filter" {
		filter(os.Args[2], os.Stdin, os.Stdout)
		os.Exit(0)
	}
	if slices.Equal(os.Args[1:], []string{"guardian"}) {
		if err := instance.RunGuardian(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(2) // as a testr that can't do that; not all tests once more
	}
	os.Exit(m.Run())
}

// filter passes on what it reads as soon as it has it, changed: "crlf" ends lines
// as a terminal does, "text" leaves out what no text has, "lines" keeps back what
// is no whole line.
func filter(how string, in io.Reader, out io.Writer) {
	var held []byte
	for buf := make([]byte, 4<<10); ; {
		n, err := in.Read(buf)
		b := buf[:n]
		switch how {
		case "crlf":
			b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
		case "text":
			b = bytes.ReplaceAll(b, []byte("\x00"), nil)
		case "lines":
			held = append(held, b...)
			end := bytes.LastIndexByte(held, '\n') + 1
			if err != nil {
				end = len(held)
			}
			b, held = held[:end], held[end:]
		}
		if _, writeErr := out.Write(b); err != nil || writeErr != nil {
			return
		}
	}
}
