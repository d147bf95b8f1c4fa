package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"testr/internal/repo"
)

// Failure is an error that came over the socket: its text, and what it wraps as
// far as that has a type that both ends know.
type Failure struct {
	Message string
	Cause   error // nil, if it is none of the known ones
}

func (e *Failure) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Failure) Unwrap() error { return e.Cause }

// BadRequest makes an error that says that a request can't be understood.
func BadRequest(err error) error { return &badRequest{err} }

type badRequest struct{ err error }

func (e *badRequest) Error() string { return e.err.Error() }

func (e *badRequest) Unwrap() error { return e.err }

// wireError is how an error goes over the socket.
type wireError struct {
	Kind    string          `json:"kind"`
	Message string          `json:"message"`
	Detail  json.RawMessage `json:"detail,omitempty"` // the fields of an error that has some
}

// errorKind is a type of errors that both ends know, and the status that goes with
// it.
type errorKind struct {
	name   string
	status int
	find   func(error) (detail any, ok bool)
	read   func(json.RawMessage) error
}

// other is the kind of all that is in no line of errorKinds.
const other = "other"

// errorKinds are the errors that keep their type. The first one that fits counts.
var errorKinds = []errorKind{
	value("no-runs", http.StatusNotFound, repo.ErrNoRuns),
	value("no-run", http.StatusNotFound, repo.ErrNoRun),
	value("closed", http.StatusServiceUnavailable, repo.ErrClosed),
	value("running", http.StatusConflict, repo.ErrRunning),
	fields[repo.NoRouteError]("no-route", http.StatusNotFound),
	fields[repo.NotFoundError]("not-found", http.StatusNotFound),
	fields[repo.ExistsError]("exists", http.StatusConflict),
	fields[repo.BusyError]("busy", http.StatusConflict),
	fields[repo.FormatError]("format", http.StatusInternalServerError),
	fields[repo.DamagedError]("damaged", http.StatusInternalServerError),
	{"space", http.StatusInsufficientStorage, func(err error) (any, bool) {
		_, ok := errors.AsType[*repo.SpaceError](err)
		return nil, ok
	}, func(json.RawMessage) error { return &repo.SpaceError{Err: syscall.ENOSPC} }},
	{"request", http.StatusBadRequest, func(err error) (any, bool) {
		_, ok := errors.AsType[*badRequest](err)
		return nil, ok
	}, func(json.RawMessage) error { return nil }},
}

// value is the kind of an error that is one value.
func value(name string, status int, is error) errorKind {
	return errorKind{name, status, func(err error) (any, bool) { return nil, errors.Is(err, is) },
		func(json.RawMessage) error { return is }}
}

// fields is the kind of an error that is a pointer to a struct of plain fields.
func fields[T any, P interface {
	*T
	error
}](name string, status int) errorKind {
	return errorKind{name, status,
		func(err error) (any, bool) {
			e, ok := errors.AsType[P](err)
			return e, ok
		},
		func(detail json.RawMessage) error {
			e := new(T)
			if decode(detail, e) != nil {
				return nil // its text is there all the same
			}
			return P(e)
		}}
}

// toWire makes of an error what goes over the socket.
func toWire(err error) (e wireError, status int) {
	e = wireError{Kind: other, Message: err.Error()}
	for _, kind := range errorKinds {
		detail, ok := kind.find(err)
		if !ok {
			continue
		}
		e.Kind = kind.name
		if detail != nil {
			if text, err := encode(detail); err == nil { // else its text has to do
				e.Detail = text
			}
		}
		return e, kind.status
	}
	return e, http.StatusInternalServerError
}

// fromWire is the inverse of toWire. A kind that is unknown is of a newer version.
func fromWire(e wireError) error {
	f := &Failure{Message: e.Message}
	for _, kind := range errorKinds {
		if kind.name == e.Kind {
			f.Cause = kind.read(e.Detail)
		}
	}
	return f
}

// Gone reports whether an error of a Client says that nobody answers any more: the
// process at the other end ends or has ended, or has cut the connection.
func Gone(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return errors.Is(f, repo.ErrClosed)
	}
	if e, ok := errors.AsType[*url.Error](err); ok && !e.Timeout() {
		return true
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && !e.Timeout() {
		return true
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errNobody)
}
