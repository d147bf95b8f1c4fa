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
		},
		Action: func(*cli.Context) error {
			return usage(errors.New("subunit wants the name of a filter: to-json or from-json"))
		},
	}
}

func newToJSONCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "to-json",
		Usage: "turn a subunit stream into JSON, an event a line",
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			out := env.stdout
			if _, ok := terminal(out); ok { // JSON itself escapes less than a terminal needs
				out = report.NewEscapeWriter(out)
			}
			return unlessGone(toJSON(env.stdin, out))
		},
	}
}

func toJSON(in io.Reader, out io.Writer) error {
	r := protocol.NewReader(in)
	var buf []byte
	line := func(p *protocol.Packet) (err error) {
		if buf, err = event.AppendJSON(buf[:0], p); err != nil {
			return err
		}
		_, err = out.Write(append(buf, '\n'))
		return err
	}
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
			if err := line(p); err != nil {
				return fmt.Errorf("write JSON: %w", err)
			}
			r.Recycle(p)
		}
	}
}

func newFromJSONCommand(env *environment) *cli.Command {
	var version string
	return &cli.Command{
		Name:  "from-json",
		Usage: "turn JSON, an event a line, into a subunit stream",
		Flags: []cli.Flag{protocolFlag(&version)},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if err := notToTerminal(env); err != nil {
				return err
			}
			return unlessGone(fromJSON(env.stdin, env.stdout, version == "2"))
		},
	}
}

func fromJSON(in io.Reader, out io.Writer, version20 bool) error {
	r := bufio.NewReaderSize(in, 64<<10)
	w := protocol.NewWriter(out)
	w.Version20 = version20
	for number := 1; ; number++ {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read JSON: %w", err)
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
