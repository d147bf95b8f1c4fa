package protocol

import "strings"

// PrefixRoute returns the route code that a stream's packet has behind a
// multiplexer which calls the stream first. A packet without one gets first.
func PrefixRoute(first, route string) string {
	if route == "" {
		return first
	}
	return first + "/" + route
}

// SplitRoute takes the outermost part off a route code: what PrefixRoute put
// there. The rest is empty if there was nothing else.
func SplitRoute(route string) (first, rest string) {
	first, rest, _ = strings.Cut(route, "/")
	return first, rest
}
