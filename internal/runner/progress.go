package runner

import (
	"fmt"
	"time"

	"testr/internal/instance/tree"
)

// progress tells how far it is with an instance.
func (s *session) progress(instance, text string, over bool) {
	if s.req.Progress != nil {
		s.req.Progress(instance, text, over)
	}
}

// warn tells of what went wrong and changes no verdict.
func (s *session) warn(err error) {
	if s.req.Warn != nil {
		s.req.Warn(err)
		return
	}
	s.req.Log.Warn(err.Error())
}

// syncing says how far it is with bringing a tree.
func syncing(p tree.Progress) string {
	switch {
	case p.Waiting != "":
		return "waits until " + p.Waiting + " has brought its source tree"
	case p.AllFiles == 0:
		return fmt.Sprintf("brings the source tree: %d files, %s", p.Files, size(p.Bytes))
	}
	return fmt.Sprintf("brings the source tree: %d of %d files, %s of %s",
		p.Files, p.AllFiles, size(p.Bytes), size(p.AllBytes))
}

// synced says what bringing a tree came to.
func synced(st tree.Stats) string {
	return fmt.Sprintf("has the source tree: %d files, %d brought, %d removed, %s in %v (%s)",
		st.Files, st.Sent, st.Deleted, size(st.Bytes), st.Took.Round(10*time.Millisecond), st.By)
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	}
	return fmt.Sprintf("%d MB", n/1_000_000)
}
