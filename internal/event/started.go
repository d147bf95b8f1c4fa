package event

import (
	"strconv"
	"strings"
)

// Started is what the detail of KindWorkerStarted tells.
type Started struct {
	Host       string // the machine, for people; empty where nobody knows its name
	Instance   string // the id of the instance there
	Route      string // of what the process sends; empty in the details of old runs
	PID        int    // there; 0 for none, or where it is unknown
	Generation int    // how many processes the slot has had, this one included
}

const (
	// maxPlace is how much of a host's name, an instance's id or a route a detail
	// has. What is longer is cut, and ends with an ellipsis.
	maxPlace = 256
	// maxStarted is how long a detail may be: each octet of three texts in the
	// longest form that it may have, and as much again.
	maxStarted = 8 << 10
)

// String returns the detail: words such as host=vm, of which those without a
// value are left out, but for the first two. A text is quoted as in Go, where it is
// not plain without.
func (s Started) String() string {
	b := append(make([]byte, 0, 128), "host="...)
	b = appendPlain(b, s.Host)
	b = append(b, " instance="...)
	b = appendPlain(b, s.Instance)
	if s.PID != 0 {
		b = strconv.AppendInt(append(b, " pid="...), int64(s.PID), 10)
	}
	b = strconv.AppendInt(append(b, " generation="...), int64(s.Generation), 10)
	if s.Route != "" {
		b = appendPlain(append(b, " route="...), s.Route)
	}
	return string(b)
}

// appendPlain appends a text so that it ends with the next space.
func appendPlain(dst []byte, text string) []byte {
	text = kept(text, maxPlace)
	quoted := strconv.Quote(text)
	if text == "" || len(quoted) > len(text)+len(`""`) || strings.ContainsAny(text, " ='`") {
		return append(dst, quoted...)
	}
	return append(dst, text...)
}

// ParseStarted is the inverse of String, for values that it doesn't cut. It
// passes over words that it doesn't know, and reports false for what String
// never made. It takes the details of old runs, which have no route. Values may
// share the detail's memory.
func ParseStarted(detail string) (Started, bool) {
	var s Started
	seen := uint(0)
	if len(detail) > maxStarted {
		return Started{}, false
	}
	for rest := detail; rest != ""; {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			return Started{}, false
		}
		var value string
		if value, rest, ok = plainValue(after); !ok {
			return Started{}, false
		}
		bit, ok := s.take(key, value)
		if !ok || seen&bit != 0 {
			return Started{}, false
		}
		seen |= bit
	}
	return s, seen&startedHost != 0
}

// The words of a detail.
const (
	startedHost = 1 << iota
	startedInstance
	startedPID
	startedGeneration
	startedRoute
)

// take notes the value of a word, and returns which one that is; 0 for one that
// nobody knows.
func (s *Started) take(key, value string) (word uint, ok bool) {
	switch key {
	case "host":
		s.Host, word = value, startedHost
	case "instance":
		s.Instance, word = value, startedInstance
	case "route":
		s.Route, word = value, startedRoute
	case "pid", "generation":
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0, false
		}
		if key == "pid" {
			s.PID = n
			return startedPID, true
		}
		s.Generation = n
		return startedGeneration, true
	default:
		return 0, key != "" && !strings.ContainsAny(key, " \"")
	}
	return word, len(value) <= maxPlace+len("…")
}

// plainValue takes the value that a text begins with, and the space behind it.
func plainValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		value, rest, _ = strings.Cut(text, " ")
		return value, rest, true
	}
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", false
	}
	if value, err = strconv.Unquote(quoted); err != nil {
		return "", "", false
	}
	rest = text[len(quoted):]
	if rest == "" {
		return value, "", true
	}
	rest, ok = strings.CutPrefix(rest, " ")
	return value, rest, ok
}
