package api

import (
	"fmt"
	"net/url"
	"strconv"

	"testr/internal/event"
	"testr/internal/repo"
)

// Question has the arguments of all questions; each takes those that it needs.
type Question struct {
	Run     int
	Profile string
	Route   string
	Test    string
	Choose  repo.Choice
	Limit   int
	From    uint64
	Packets string // how packets stand in a stream of events; see packetForms
}

// questions are what is asked with GET /v1/NAME, and who answers. An answer is
// one JSON document.
var questions = map[string]func(repo.Queries, Question) (any, error){
	"latest":   func(q repo.Queries, _ Question) (any, error) { return q.Latest() },
	"current":  func(q repo.Queries, _ Question) (any, error) { return q.Current() },
	"run":      func(q repo.Queries, a Question) (any, error) { return q.Run(a.Run) },
	"runs":     func(q repo.Queries, _ Question) (any, error) { return q.Runs() },
	"profiles": func(q repo.Queries, _ Question) (any, error) { return q.Profiles() },
	"tests":    func(q repo.Queries, a Question) (any, error) { return q.Tests(a.Run, a.Profile, a.Choose) },
	"ran":      func(q repo.Queries, a Question) (any, error) { return q.Ran(a.Run, a.Profile) },
	"slowest":  func(q repo.Queries, a Question) (any, error) { return q.Slowest(a.Run, a.Profile, a.Limit) },
	"failing":  func(q repo.Queries, a Question) (any, error) { return q.Failing(a.Profile) },
	"timing":   func(q repo.Queries, a Question) (any, error) { return q.Timing(a.Profile) },
	"listing":  func(q repo.Queries, a Question) (any, error) { return q.Listing(a.Profile) },
	"schedule": func(q repo.Queries, a Question) (any, error) { return q.Schedule(a.Run, a.Profile, a.Route) },
	"left":     func(q repo.Queries, a Question) (any, error) { return q.Left(a.Run, a.Profile) },
	"leases":   func(q repo.Queries, _ Question) (any, error) { return q.Leases() },
	"stats":    func(q repo.Queries, _ Question) (any, error) { return q.Stats() },
	"flaky":    func(q repo.Queries, a Question) (any, error) { return q.Flaky(a.Profile) },
	"outcomes": func(q repo.Queries, a Question) (any, error) { return q.Outcomes(a.Profile, a.Test) },
}

// packetForms are how packets stand in a stream of events.
var packetForms = map[string]func([]byte, event.Event) ([]byte, error){
	"":        AppendEvent,
	"json":    AppendEvent,
	"subunit": appendRaw, // which testr itself asks for
}

// values are the arguments in a URL. What is zero is left out: see parseQuestion.
func (a Question) values() url.Values {
	v := url.Values{}
	set := func(key, value string, given bool) {
		if given {
			v.Set(key, value)
		}
	}
	set("run", strconv.Itoa(a.Run), a.Run != 0)
	set("profile", a.Profile, a.Profile != "")
	set("route", a.Route, a.Route != "")
	set("test", a.Test, a.Test != "")
	set("choose", strconv.FormatUint(uint64(a.Choose), 10), a.Choose != 0)
	set("limit", strconv.Itoa(a.Limit), a.Limit != 0)
	set("packets", a.Packets, a.Packets != "")
	set("from", strconv.FormatUint(a.From, 10), a.From != 0)
	return v
}

// parseQuestion is the inverse of values; what is missing is zero. An argument
// that is unknown, or none at all, is an error of kind "request".
func parseQuestion(v url.Values) (a Question, err error) {
	for key, values := range v {
		value := values[len(values)-1]
		switch key {
		case "run":
			a.Run, err = strconv.Atoi(value)
		case "profile":
			a.Profile = value
		case "route":
			a.Route = value
		case "test":
			a.Test = value
		case "choose":
			var bits uint64
			bits, err = strconv.ParseUint(value, 10, 32)
			a.Choose = repo.Choice(bits)
		case "limit":
			a.Limit, err = strconv.Atoi(value)
		case "from":
			a.From, err = strconv.ParseUint(value, 10, 64)
		case "packets":
			a.Packets = value
			if packetForms[value] == nil {
				err = fmt.Errorf("unknown form %.50q", value)
			}
		default:
			err = fmt.Errorf("unknown argument %.50q", key)
		}
		if err != nil {
			return a, BadRequest(fmt.Errorf("argument %.50q: %w", key, err))
		}
	}
	return a, nil
}
