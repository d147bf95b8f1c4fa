package api

import (
	"context"
	"net/http"
	"time"

	"testr/internal/repo"
)

// Edits are what is done to a repository besides storing runs. *repo.Repository does
// it to the file; a *Client has whoever has that open do it, which may be while a
// run goes on.
type Edits interface {
	Remove(runs ...int) error
	Prune(keep int, before time.Time) (removed []int, err error)
	Compact() (before, after int64, err error)
}

var (
	_ Edits = (*repo.Repository)(nil)
	_ Edits = (*Client)(nil)
)

// removal, pruning and sizes are what requests to edit have and answer with.
type (
	removal struct{ Runs []int }
	pruning struct {
		Keep   int
		Before time.Time
	}
	sizes struct{ Before, After int64 }
)

// edits are the handlers of requests to edit; none where nobody edits.
func edits(e Edits) map[string]http.Handler {
	if e == nil {
		return nil
	}
	return map[string]http.Handler{
		"POST /v1/remove": edit(func(r removal) (any, error) { return struct{}{}, e.Remove(r.Runs...) }),
		"POST /v1/prune": edit(func(p pruning) (any, error) {
			runs, err := e.Prune(p.Keep, p.Before)
			return removal{runs}, err
		}),
		"POST /v1/compact": edit(func(struct{}) (any, error) {
			before, after, err := e.Compact()
			return sizes{before, after}, err
		}),
	}
}

// edit makes a handler of what does something with the body of a request.
func edit[A any](do func(A) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		var a A
		err := Body(w, req, &a)
		var done any
		if err == nil {
			done, err = do(a)
		}
		if err != nil {
			Fail(w, err)
			return
		}
		Reply(w, done)
	}
}

// Remove is as for *repo.Repository.
func (c *Client) Remove(runs ...int) error {
	return c.Call(context.Background(), http.MethodPost, "/v1/remove", removal{runs}, nil)
}

// Prune is as for *repo.Repository, but that it names no runs where there is an
// error.
func (c *Client) Prune(keep int, before time.Time) (removed []int, err error) {
	var answer removal
	err = c.Call(context.Background(), http.MethodPost, "/v1/prune", pruning{keep, before}, &answer)
	return answer.Runs, err
}

// Compact is as for *repo.Repository.
func (c *Client) Compact() (before, after int64, err error) {
	var answer sizes
	err = c.Call(context.Background(), http.MethodPost, "/v1/compact", struct{}{}, &answer)
	return answer.Before, answer.After, err
}
