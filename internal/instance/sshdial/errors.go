package sshdial

import (
	"errors"
	"fmt"
	"strings"
)

// What can be in the way of a connection. errors.Is finds one of them in every
// *Error, except where a context ended the attempt: then it finds what ended
// the context.
var (
	// ErrUnreachable means that nobody who speaks SSH could be talked to: the
	// name is unknown, the port refused, nothing answered in time, a proxy
	// failed.
	ErrUnreachable = errors.New("the host is unreachable")
	// ErrHostKeyUnknown means that nothing says which key the host has, and that
	// of its certificate, if it has one, nothing says that it holds. errors.As
	// finds a *HostKeyError.
	ErrHostKeyUnknown = errors.New("the host key is unknown")
	// ErrHostKeyChanged means that the host has shown another key than the known
	// one, or one that was revoked. It is never worth another attempt. errors.As
	// finds a *HostKeyError.
	ErrHostKeyChanged = errors.New("the host key has changed")
	// ErrAuthentication means that the host is the right one, and let nobody in.
	ErrAuthentication = errors.New("the host let nobody in")
	// ErrConfiguration means that the ssh configuration, or the name that was
	// looked up in it, can't be used.
	ErrConfiguration = errors.New("the ssh configuration can't be used")
	// ErrLost means that a connection that stood has broken.
	ErrLost = errors.New("the connection was lost")
)

// maxMessage is how many bytes of an error's text are shown: some of it may
// come from the far end.
const maxMessage = 2000

// Error says what was in the way of a connection.
type Error struct {
	Host  string // the name that was asked for
	Addr  string // user and address, once they are known; empty before
	Doing string // what was being done to the host
	Kind  error  // one of this package's sentinels; nil if a context ended the attempt
	Err   error  // what happened
	Hint  string // what would help, for people; empty if that is unknown
}

// Error names the host, its address, what was being done and what happened.
func (e *Error) Error() string {
	var b strings.Builder
	if checkName(e.Host) == nil {
		fmt.Fprintf(&b, "ssh %s", e.Host)
	} else {
		fmt.Fprintf(&b, "ssh %.100q", e.Host)
	}
	if e.Addr != "" {
		fmt.Fprintf(&b, " (%s)", e.Addr)
	}
	text := e.Err.Error()
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	fmt.Fprintf(&b, ": %s: %s", e.Doing, text)
	return b.String()
}

// Unwrap returns the kind of the error and what happened.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

// HostKeyError says why a host's key was refused.
type HostKeyError struct {
	Type        string     // of the key that the host has shown, such as "ssh-ed25519"
	Fingerprint string     // of that key, as ssh-keygen shows it: "SHA256:..."
	Known       []KnownKey // which keys were expected; none if the host is unknown
	Revoked     bool       // Known is the line that revokes the key
	Reason      string     // what is wrong with a certificate; else empty
}

// KnownKey is a key in a known_hosts file.
type KnownKey struct {
	File        string // empty for one that the host has shown to this process, and no file has
	Line        int
	Type        string
	Fingerprint string
}

// Error describes the key that was shown and those that were expected.
func (e *HostKeyError) Error() string {
	shown := fmt.Sprintf("%s key %s", e.Type, e.Fingerprint)
	if e.Reason != "" {
		return fmt.Sprintf("the host has shown a certificate for its %s: %s", shown, e.Reason)
	}
	if len(e.Known) == 0 {
		return fmt.Sprintf("the host's %s is not known", shown)
	}
	known := make([]string, len(e.Known))
	for i, k := range e.Known {
		if k.File == "" {
			known[i] = fmt.Sprintf("it had %s %s before", k.Type, k.Fingerprint)
			continue
		}
		known[i] = fmt.Sprintf("%s:%d has %s %s", k.File, k.Line, k.Type, k.Fingerprint)
	}
	if e.Revoked {
		return fmt.Sprintf("the host's %s is revoked: %s", shown, strings.Join(known, ", "))
	}
	return fmt.Sprintf("the host's key has changed: it has shown the %s; %s", shown, strings.Join(known, ", "))
}
