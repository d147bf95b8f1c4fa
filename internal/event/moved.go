package event

import "strings"

// Moved is the detail of a KindRequeued event of tests that were on an instance
// when it was lost, whose name has no colon.
func Moved(instance, why string) string { return movedFrom + instance + wasLost + why }

// MovedFrom is the instance of such a detail; any other has none.
func MovedFrom(detail string) (instance string, ok bool) {
	rest, ok := strings.CutPrefix(detail, movedFrom)
	if !ok {
		return "", false
	}
	if instance, _, ok = strings.Cut(rest, wasLost); !ok {
		return "", false
	}
	return instance, true
}

const (
	movedFrom = "instance "
	wasLost   = " was lost: "
)
