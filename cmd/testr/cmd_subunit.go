package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/report"
)

func newSubunitCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "subunit",
		Usage: "filter and convert subunit streams",
		Description: `The filters read from stdin and write to stdout. The JSON form is an event a line, with
the keys test_id, parent_test_id, test_status, test_tags, runnable, file_name,
file_bytes (base64), eof, mime_type, route_code and timestamp.`,
		Subcommands: []*cli.Command{
			newToJSONCommand(env),
			newFromJSONCommand(env),
			new1To2Command(env),
		},
		Action: func(*cli.Context) error {
			return usage(errors.New("subunit wants the name of a filter: to-json, from-json or 1to2"))
		},
	}
}

func newToJSONCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "to-json",
		Usage: "turn a subunit stream, of version 1 or 2, into JSON, an event a line",
		Action: func(c *cli.Context) error {
			out := env.stdout
			if _, ok := terminal(out); ok { // JSON itself escapes less than a terminal needs
				out = report.NewEscapeWriter(out)
			}
			return unlessGone(runFilter(c.Context, func() error { return toJSON(env.stdin, out) }))
		},
	}
}

func toJSON(in io.Reader, out io.Writer) error {
	var buf []byte
	return eachPacket(in, func(p *protocol.Packet) (err error) {
		if buf, err = event.AppendJSON(buf[:0], p); err == nil {
			_, err = out.Write(append(buf, '\n'))
		}
		if err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		return nil
	})
}

// eachPacket gives do what a stream of either version has, in order: packets,
// text and damage as packets. They are do's until it returns.
func eachPacket(in io.Reader, do func(*protocol.Packet) error) error {
	r := protocol.NewAnyReader(in)
	for {
		p, err := r.ReadPacket()
		var corrupt *protocol.CorruptError
		packets := []*protocol.Packet{p}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &corrupt):
			packets = event.FromCorrupt(corrupt)
		case err != nil:
			return fmt.Errorf("read the stream: %w", err)
		}
		for _, p := range packets {
			if err := do(p); err != nil {
				return err
			}
			r.Recycle(p)
		}
	}
}

func new1To2Command(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "1to2",
		Usage: "turn a subunit stream of version 1 into one of version 2",
		Description: `Text beside tests becomes the file stdout of no test. What the stream gives no time for
has none. A stream of version 2 stays one.`,
		Action: func(c *cli.Context) error {
			if err := notToTerminal(env); err != nil {
				return err
			}
			return unlessGone(runFilter(c.Context, func() error { return convert(env.stdin, env.stdout) }))
		},
	}
}

// convert writes a stream of either version as one of version 2.
func convert(in io.Reader, out io.Writer) error {
	w := protocol.NewWriter(out)
	return eachPacket(in, func(p *protocol.Packet) error {
		if err := w.WritePacket(p); err != nil {
			return fmt.Errorf("write the packet: %w", err)
		}
		return nil
	})
}

func newFromJSONCommand(env *environment) *cli.Command {
	var version string
	return &cli.Command{
		Name:  "from-json",
		Usage: "turn JSON, an event a line, into a subunit stream",
		Flags: []cli.Flag{protocolFlag(&version)},
		Action: func(c *cli.Context) error {
			if err := notToTerminal(env); err != nil {
				return err
			}
			return unlessGone(runFilter(c.Context, func() error { return fromJSON(env.stdin, env.stdout, version == "2") }))
		},
	}
}

func fromJSON(in io.Reader, out io.Writer, version20 bool) error {
	r := bufio.NewReaderSize(in, 64<<10)
	w := protocol.NewWriter(out)
	w.Version20 = version20
	var line []byte
	for number := 1; ; number++ {
		var err error
		line, err = appendLine(line[:0], r, maxJSONLine)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("line %d: read JSON: %w", number, err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			p, parseErr := event.ParseJSON(line)
			if parseErr != nil {
				return fmt.Errorf("line %d: %w", number, parseErr)
			}
			if err := w.WritePacket(p); err != nil {
				return fmt.Errorf("line %d: write the packet: %w", number, err)
			}
		}
		if err != nil {
			return nil //nolint:nilerr // it is the end of the input
		}
	}
}

// maxJSONLine is more than any packet takes as JSON, which has up to six octets for
// one of text.
const maxJSONLine = 32 << 20

// appendLine reads a line of so many octets at most, with its newline if it has one.
func appendLine(line []byte, r *bufio.Reader, limit int) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return line, fmt.Errorf("it has more than %d MiB", limit>>20)
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err //nolint:wrapcheck // its caller wraps it
		}
	}
}
