package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"testr/internal/config"
	"testr/internal/event"
	"testr/internal/protocol"
	"testr/internal/runner"
)

// idList is what --load-list reads: ids for all profiles, or for each its own.
type idList struct {
	ids      []string
	profiles []profileTests // the profile form; nil for the other one
}

// profileTests is a profile in the profile form, which list-tests and failing write
// and --load-list reads.
type profileTests struct {
	Name  string   `json:"name"`
	Tests []string `json:"tests"`
}

// profileForm is the document of that form:
//
//	{"version": 1, "profiles": [{"name": "default", "tests": ["a.b.test_x"]}]}
type profileForm struct {
	Version  int            `json:"version"`
	Profiles []profileTests `json:"profiles"`
}

// writeProfileForm writes the tests of profiles as JSON.
func writeProfileForm(env *environment, profiles []profileTests) error {
	for i := range profiles {
		if profiles[i].Tests == nil {
			profiles[i].Tests = []string{}
		}
	}
	return writeDocument(env, profileForm{documentVersion, profiles})
}

// readList reads the file of --load-list: test ids, one a line, or, if it begins
// with {, the profile form. The ids come in their order.
func readList(ctx context.Context, path string, cfg *config.Config) (list idList, err error) {
	data, err := readFile(ctx, path)
	if err != nil {
		return list, fmt.Errorf("read the list of tests: %w", err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		list.profiles, err = profileList(data, cfg)
	} else {
		list.ids, err = plainList(data)
	}
	if err != nil {
		return list, usage(fmt.Errorf("%s: %w", path, err))
	}
	return list, nil
}

// once leaves out ids that stood before.
func once(ids []string) []string {
	seen := make(map[string]bool, len(ids))
	return slices.DeleteFunc(ids, func(id string) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
}

// choose puts the list into a request, each id once: the profiles that it names are those that run,
// where nobody chose others.
func (l *idList) choose(req *runner.Request) error {
	req.Select.Listed, req.Select.List = true, once(l.ids)
	if l.profiles == nil {
		return nil
	}
	req.Select.Lists = map[string][]string{}
	var named []string
	for _, p := range l.profiles {
		req.Select.Lists[p.Name] = append(req.Select.Lists[p.Name], p.Tests...)
		named = append(named, p.Name)
	}
	for name, tests := range req.Select.Lists { // a profile may stand there twice
		req.Select.Lists[name] = once(tests)
	}
	if req.Profiles != nil || len(named) == 0 {
		return nil
	}
	profiles, err := req.Config.Choose(named...)
	req.Profiles = profiles
	return err
}

// plainList leaves out empty lines and the white space around ids, as
// testrepository does.
func plainList(data []byte) (ids []string, err error) {
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		id := strings.TrimSpace(line)
		if err := checkID(id); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if id != "" {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// listedForm is the profile form as it is read: everything in it has to be what it
// looks like.
type listedForm struct {
	Version  int `json:"version"`
	Profiles *[]struct {
		Name  string   `json:"name"`
		Tests []jsonID `json:"tests"`
	} `json:"profiles"`
}

// jsonID is a test id in JSON, which would make another id of one that is no text.
type jsonID string

// UnmarshalJSON takes nothing but a string that can be an id.
func (id *jsonID) UnmarshalJSON(value []byte) error {
	text, err := event.ParseText(value)
	switch {
	case errors.Is(err, protocol.ErrText):
		return fmt.Errorf("%.100s: %w", value, errID)
	case err != nil || value[0] != '"':
		return fmt.Errorf("%.100s is no test id", value)
	}
	*id = jsonID(text)
	return nil
}

// profileList reads the profile form. A profile that is not configured has no place in
// it, unless it has no tests.
func profileList(data []byte, cfg *config.Config) ([]profileTests, error) {
	var form listedForm
	err := json.Unmarshal(data, &form)
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		err = fmt.Errorf("its %q can't be a JSON %s", e.Field, e.Value)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("read it as JSON: %w", err)
	case form.Version != documentVersion:
		return nil, fmt.Errorf("it has version %d; want %d", form.Version, documentVersion)
	case form.Profiles == nil:
		return nil, errors.New(`it has no "profiles"`)
	}
	profiles := []profileTests{}
	for _, p := range *form.Profiles {
		if _, err := cfg.Choose(p.Name); err != nil {
			if len(p.Tests) > 0 {
				return nil, err
			}
			continue
		}
		tests := make([]string, len(p.Tests))
		for i, id := range p.Tests {
			tests[i] = string(id)
		}
		profiles = append(profiles, profileTests{p.Name, tests})
	}
	return profiles, nil
}

// errID says what an id has to be.
var errID = errors.New("a test id has to be UTF-8 without NUL")

// checkID refuses what can't be an id in any stream.
func checkID(id string) error {
	if !utf8.ValidString(id) || strings.Contains(id, "\x00") {
		return errID
	}
	return nil
}
