package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// wireValue is a line of a stream of values: one of them, or the stream's end.
type wireValue struct {
	Value json.RawMessage `json:"value,omitempty"`
	End   bool            `json:"end,omitempty"`
	Error *wireError      `json:"error,omitempty"` // why it ends
}

// StreamValues answers a request with what next returns, a line of JSON each, until
// that has an error or the request ends: io.EOF is the stream's end, and any other
// error the client's. A client that reads slowly is waited for.
func StreamValues(w http.ResponseWriter, req *http.Request, next func(context.Context) (any, error)) {
	s := newStream(w, "application/x-ndjson")
	for s.failed == nil {
		v, err := next(req.Context())
		if req.Context().Err() != nil {
			return // without an end: who reads still knows that it was cut
		}
		line := wireValue{End: true}
		switch {
		case err == nil:
			line.End = false
			line.Value, err = encode(v)
		case errors.Is(err, io.EOF):
			err = nil
		}
		if err != nil {
			e, _ := toWire(err)
			line = wireValue{End: true, Error: &e}
		}
		text, err := marshal(line) // what is in it is escaped already
		if err != nil {
			return
		}
		s.buf = append(s.buf, text...)
		if s.write() != nil || line.End {
			return
		}
	}
}

// Values makes a request, as Call does, whose answer is a stream of values: what
// StreamValues writes. When ctx ends, so does the stream. The caller closes it.
func (c *Client) Values(ctx context.Context, method, path string, in any) (*Values, error) {
	ctx, cancel := context.WithCancel(ctx)
	res, err := c.do(ctx, method, path, in) //nolint:bodyclose // Values.Close closes it
	if err != nil {
		cancel()
		return nil, err
	}
	return &Values{body: res.Body, cancel: cancel, lines: newLines(res.Body)}, nil
}

// Values are values that come from a server. It belongs to one goroutine, but that
// any may close it.
type Values struct {
	body   io.Closer
	cancel context.CancelFunc // ends the request
	lines  *lines
}

// Next reads the next value into v, a pointer, and waits for it. The error is
// io.EOF when there are none to come, or what went wrong at the other end; or Gone
// reports that nobody is there any more.
func (s *Values) Next(v any) error {
	text, err := s.lines.line()
	if err != nil {
		return err
	}
	var line wireValue
	if err := json.Unmarshal(text, &line); err != nil {
		return fmt.Errorf("a value of the stream: %w", err)
	}
	switch {
	case line.Error != nil:
		return fromWire(*line.Error)
	case line.End:
		return io.EOF
	}
	if err := decode(line.Value, v); err != nil {
		return fmt.Errorf("a value of the stream: %w", err)
	}
	return nil
}

// Close ends the stream, whether it is over or not.
func (s *Values) Close() error {
	s.cancel()
	return s.body.Close()
}

// Send makes a request whose body is what from has, as it is and however much that
// is. Of an answer nothing is wanted but that it is no error.
func (c *Client) Send(ctx context.Context, path string, from io.Reader) error {
	res, err := c.send(ctx, http.MethodPost, path, from)
	if err != nil {
		return err
	}
	return res.Body.Close()
}
