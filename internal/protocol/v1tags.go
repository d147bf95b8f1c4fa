package protocol

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Each outcome carries the tags that are in force, so that a line may cost a
// packet with all of them: these bound what hostile tags can make of a stream.
const (
	maxTags      = 256
	maxTagOctets = 4 << 10
)

// v1Tags are tags in force, sorted. A set is never changed once it is made.
type v1Tags []string

// change returns the set after a tags directive, and false for a directive that
// can't be followed.
func (s v1Tags) change(arg []byte) (v1Tags, bool) {
	if !utf8.Valid(arg) || bytes.IndexByte(arg, 0) >= 0 {
		return s, false
	}
	next := slices.Clone(s)
	gone := map[string]bool{}
	for _, word := range strings.FieldsFunc(string(arg), v1WordEnd) {
		if tag, minus := strings.CutPrefix(word, "-"); minus {
			gone[tag] = true
		} else {
			next = append(next, word)
		}
	}
	slices.Sort(next)
	next = slices.Compact(next)
	size := 0
	next = slices.DeleteFunc(next, func(tag string) bool {
		if !gone[tag] {
			size += len(tag)
		}
		return gone[tag]
	})
	return next, len(next) <= maxTags && size <= maxTagOctets
}

// v1WordEnd reports whether c separates tags, as Python sees it.
func v1WordEnd(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }
