package sshdial

import (
	"fmt"
	"strings"
)

// maxHops is how many jump hosts may be on the way to one host.
const maxHops = 16

// nextHop is the host that t is reached through, with the way to it; nil if
// there is none. h is what t was resolved from.
func (t *Target) nextHop(h hop, s *settings) (*hop, error) {
	way := h.via
	if !h.given {
		text := s.get("proxyjump", "none")
		if strings.EqualFold(text, "none") {
			return nil, nil
		}
		text, err := expandTokens(text, map[byte]string{'h': t.HostName, 'p': t.Port, 'r': t.User, 'n': t.Alias})
		if err != nil {
			return nil, fmt.Errorf("ProxyJump: %w", err)
		}
		for part := range strings.SplitSeq(text, ",") {
			one, err := parseHop(part)
			if err != nil {
				return nil, fmt.Errorf("ProxyJump %q: %w", text, err)
			}
			way = append(way, one)
		}
	}
	if len(way) == 0 {
		return nil, nil
	}
	// The nearest one is reached as its own configuration says, the others
	// through those before them.
	next := way[len(way)-1]
	next.via = way[:len(way)-1]
	next.given = len(next.via) > 0
	return &next, nil
}

// parseHop reads [user@]host[:port] and its form as an ssh:// URI.
func parseHop(text string) (hop, error) {
	var h hop
	rest := strings.TrimSpace(text)
	if uri, found := strings.CutPrefix(rest, "ssh://"); found {
		rest = strings.TrimSuffix(uri, "/")
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		h.user, rest = rest[:at], rest[at+1:]
		if h.user == "" {
			return hop{}, fmt.Errorf("%q has no user before the @", text)
		}
	}
	if inner, found := strings.CutPrefix(rest, "["); found {
		host, after, closed := strings.Cut(inner, "]")
		if !closed {
			return hop{}, fmt.Errorf("%q has a [ without a ]", text)
		}
		h.host, rest = host, after
		if rest == "" {
			return h, nil
		}
	} else {
		colon := strings.IndexByte(rest, ':')
		if colon < 0 || strings.Count(rest, ":") > 1 { // an IPv6 address without a port
			h.host = rest
			return h, nil
		}
		h.host, rest = rest[:colon], rest[colon:]
	}
	port, found := strings.CutPrefix(rest, ":")
	if !found || port == "" {
		return hop{}, fmt.Errorf("%q has no port after its host", text)
	}
	h.port = port
	return h, nil
}
