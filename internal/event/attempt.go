package event

import (
	"strconv"
	"strings"

	"testr/internal/protocol"
)

// attemptTag begins the tag of the second and every later attempt at a test.
const attemptTag = "attempt-"

// AttemptTag is the tag of the packets of an attempt at a test, from 2 up; the
// first one has none.
func AttemptTag(n int) string { return attemptTag + strconv.Itoa(n) }

// Attempt is the number of the attempt that a tag stands for, or 0 for any
// other tag. What AttemptTag never made is another tag, like "attempt-02", and
// so is a number beyond 32 bits.
func Attempt(tag string) int {
	digits, ok := strings.CutPrefix(tag, attemptTag)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 2 || AttemptTag(int(n)) != tag {
		return 0
	}
	return int(n)
}

// AttemptOf is the number of the attempt that a packet belongs to, from 1; of
// several tags the highest counts.
func AttemptOf(p *protocol.Packet) int {
	attempt := 1
	for _, tag := range p.Tags {
		attempt = max(attempt, Attempt(tag))
	}
	return attempt
}
