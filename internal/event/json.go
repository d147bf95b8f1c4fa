package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"testr/internal/protocol"
)

// timeLayout is RFC 3339 with nine decimals.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// AppendJSON appends p as one JSON object on one line, without a newline, to
// dst and returns the extended slice. Keys of fields that p does not have are left out;
// runnable and eof are always there. Tags stand in the packet's order, as often as
// they do there: ParseJSON gives back the same packet, of the same bytes on the
// wire. Text becomes the file that it is delivered as. An error wraps
// protocol.ErrText: a string is not UTF-8, so JSON can't hold it; dst is then unchanged.
func AppendJSON(dst []byte, p *protocol.Packet) ([]byte, error) {
	w := jsonWriter{dst: append(dst, '{')}
	w.text(p.Has&protocol.HasTestID != 0, "test_id", p.TestID)
	w.text(p.Has&protocol.HasParent != 0, "parent_test_id", p.ParentID)
	w.text(p.Status != protocol.StatusNone, "test_status", p.Status.String())
	if p.Has&protocol.HasTags != 0 {
		w.tags(p.Tags)
	}
	w.flag("runnable", p.Runnable)
	w.text(p.Has&protocol.HasFile != 0, "file_name", p.FileName)
	if p.Has&protocol.HasFile != 0 {
		w.key("file_bytes")
		w.dst = append(w.dst, '"')
		w.dst = base64.StdEncoding.AppendEncode(w.dst, p.Content)
		w.dst = append(w.dst, '"')
	}
	w.flag("eof", p.EOF)
	w.text(p.Has&protocol.HasMIME != 0, "mime_type", p.MIMEType)
	w.text(p.Has&protocol.HasRoute != 0, "route_code", p.Route)
	if p.Has&protocol.HasTime != 0 {
		w.text(true, "timestamp", p.Time.UTC().Format(timeLayout))
	}
	if w.err != nil {
		return dst, w.err
	}
	return append(w.dst, '}'), nil
}

type jsonWriter struct {
	dst []byte
	err error
}

func (w *jsonWriter) key(key string) {
	if w.dst[len(w.dst)-1] != '{' {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(w.dst, '"')
	w.dst = append(w.dst, key...)
	w.dst = append(w.dst, '"', ':')
}

func (w *jsonWriter) flag(key string, value bool) {
	w.key(key)
	if value {
		w.dst = append(w.dst, "true"...)
	} else {
		w.dst = append(w.dst, "false"...)
	}
}

func (w *jsonWriter) text(has bool, key, value string) {
	if has {
		w.key(key)
		w.string(key, value)
	}
}

func (w *jsonWriter) tags(tags []string) {
	const key = "test_tags"
	w.key(key)
	w.dst = append(w.dst, '[')
	for i, tag := range tags {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.string(key, tag)
	}
	w.dst = append(w.dst, ']')
}

const hexDigits = "0123456789abcdef"

// string writes s. Only what JSON demands is escaped.
func (w *jsonWriter) string(key, s string) {
	if !utf8.ValidString(s) {
		w.err = fmt.Errorf("%s %.100q: %w", key, s, protocol.ErrText)
		return
	}
	w.dst = append(w.dst, '"')
	done := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		w.dst = append(w.dst, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			w.dst = append(w.dst, '\\', c)
		case '\n':
			w.dst = append(w.dst, '\\', 'n')
		case '\r':
			w.dst = append(w.dst, '\\', 'r')
		case '\t':
			w.dst = append(w.dst, '\\', 't')
		default:
			w.dst = append(w.dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	w.dst = append(append(w.dst, s[done:]...), '"')
}

// ParseJSON is the inverse of AppendJSON. Keys may stand in any order, and null
// is the same as absent; without runnable the packet is runnable, without eof
// the file goes on. The error names the key that is unknown, repeated, of a wrong
// type or of a value that no packet can have. The packet owns its memory.
func ParseJSON(line []byte) (*protocol.Packet, error) {
	if !utf8.Valid(line) {
		return nil, fmt.Errorf("JSON event: %w", protocol.ErrText)
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	if t, err := dec.Token(); err != nil {
		return nil, jsonError(err)
	} else if t != json.Delim('{') {
		return nil, errors.New("JSON event: not an object")
	}
	p := &protocol.Packet{Runnable: true}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, jsonError(err)
		}
		key, _ := t.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, jsonError(err)
		}
		if seen[key] {
			return nil, fmt.Errorf("JSON event: %s: given twice", key)
		}
		seen[key] = true
		if string(value) == "null" && jsonKeys[key] != nil {
			continue
		}
		if err := setKey(p, key, value); err != nil {
			return nil, fmt.Errorf("JSON event: %s: %w", key, err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, jsonError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("JSON event: something follows the object")
	}
	if p.Content != nil && p.Has&protocol.HasFile == 0 {
		return nil, errors.New("JSON event: file_bytes: there is no file_name")
	}
	return p, nil
}

func jsonError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("JSON event: %w", err)
}

// jsonKeys are the keys and what they do to a packet.
var jsonKeys = map[string]func(p *protocol.Packet, value json.RawMessage) error{
	"test_id":        textKey(protocol.HasTestID, func(p *protocol.Packet) *string { return &p.TestID }),
	"parent_test_id": textKey(protocol.HasParent, func(p *protocol.Packet) *string { return &p.ParentID }),
	"file_name":      textKey(protocol.HasFile, func(p *protocol.Packet) *string { return &p.FileName }),
	"mime_type":      textKey(protocol.HasMIME, func(p *protocol.Packet) *string { return &p.MIMEType }),
	"route_code":     textKey(protocol.HasRoute, func(p *protocol.Packet) *string { return &p.Route }),
	"test_status":    setStatus,
	"test_tags":      setTags,
	"timestamp":      setTime,
	"runnable":       func(p *protocol.Packet, v json.RawMessage) error { return json.Unmarshal(v, &p.Runnable) },
	"eof":            func(p *protocol.Packet, v json.RawMessage) error { return json.Unmarshal(v, &p.EOF) },
	"file_bytes":     setContent,
}

func setKey(p *protocol.Packet, key string, value json.RawMessage) error {
	set := jsonKeys[key]
	if set == nil {
		return errors.New("unknown key")
	}
	err := set(p, value)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%.100s is of the wrong type", value)
	}
	return err
}

func textKey(field protocol.Fields, at func(*protocol.Packet) *string) func(*protocol.Packet, json.RawMessage) error {
	return func(p *protocol.Packet, value json.RawMessage) error {
		p.Has |= field
		return setText(at(p), value)
	}
}

func setText(to *string, value json.RawMessage) (err error) {
	*to, err = ParseText(value)
	return err
}

// ParseText reads a JSON string that a packet can hold as text. The error of any
// other string is protocol.ErrText: one with a NUL, or, for which JSON readers put another
// character, what is not UTF-8 and half a character's escape.
func ParseText(value []byte) (text string, err error) {
	if err := json.Unmarshal(value, &text); err != nil {
		return "", err //nolint:wrapcheck // its caller knows what it is about
	}
	const replacement = "\uFFFD"
	if strings.Contains(text, "\x00") {
		return "", protocol.ErrText
	}
	// An escape for half a character comes out as the replacement character.
	given := bytes.Count(value, []byte(replacement)) + bytes.Count(bytes.ToLower(value), []byte(`\ufffd`))
	if strings.Count(text, replacement) > given {
		return "", protocol.ErrText
	}
	return text, nil
}

func setStatus(p *protocol.Packet, value json.RawMessage) error {
	var name string
	if err := json.Unmarshal(value, &name); err != nil {
		return err
	}
	status, ok := protocol.ParseStatus(name)
	if !ok || name == "" {
		return fmt.Errorf("unknown status %.100q", name)
	}
	p.Status = status
	return nil
}

func setTags(p *protocol.Packet, value json.RawMessage) error {
	var tags []json.RawMessage
	if err := json.Unmarshal(value, &tags); err != nil {
		return err
	}
	p.Has |= protocol.HasTags
	p.Tags = make([]string, len(tags))
	for i, tag := range tags {
		if string(tag) == "null" {
			return errors.New("null is no tag")
		}
		if err := setText(&p.Tags[i], tag); err != nil {
			return err
		}
	}
	return nil
}

func setContent(p *protocol.Packet, value json.RawMessage) error {
	var encoded string
	if err := json.Unmarshal(value, &encoded); err != nil {
		return err
	}
	content, err := base64.StdEncoding.Strict().DecodeString(encoded)
	p.Content = content
	return err
}

func setTime(p *protocol.Packet, value json.RawMessage) error {
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("%.100q is no time", text)
	}
	if t.Unix() < 0 || t.Unix() >= 1<<32 {
		return protocol.ErrTime
	}
	p.Has |= protocol.HasTime
	p.Time = t.UTC()
	return nil
}
