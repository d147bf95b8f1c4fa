package event

import (
	"fmt"
	"strings"
)

// What a test keeps of what is said of it. Nobody has more tags than that, longer
// routes or longer reasons, but to see what happens: then memory would grow with
// what workers write, and not with the number of tests.
const (
	maxTags    = 64
	maxTagText = 1 << 10
	maxRoute   = 256
	maxReason  = 1 << 10
)

// keptTags returns the tags that a test keeps: all of them, as a rule, else the
// first ones, and how many there are besides.
func keptTags(tags []string) []string {
	size := 0
	for i, tag := range tags {
		if size += len(tag); i < maxTags && size <= maxTagText {
			continue
		}
		kept := make([]string, i, i+1)
		for j := range kept {
			kept[j] = strings.Clone(tags[j]) // the packet's memory is as large as all of them
		}
		return append(kept, fmt.Sprintf("(%d more tags)", len(tags)-i))
	}
	return tags
}

// kept returns as much of a text as a test keeps.
func kept(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
