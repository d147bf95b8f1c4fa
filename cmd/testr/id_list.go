package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"testr/internal/repo"
)

// readList reads the file of --load-list: test ids, one a line, or, if it begins
// with {, the profile form. The ids come in their order, each once.
func readList(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of tests: %w", err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var ids []string
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		ids, err = profileList(data)
	} else {
		ids, err = plainList(data)
	}
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", path, err))
	}
	seen := make(map[string]bool, len(ids))
	return slices.DeleteFunc(ids, func(id string) bool {
		again := seen[id]
		seen[id] = true
		return again
	}), nil
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

// profileList reads the form that has an id for each profile:
//
//	{"version": 1, "profiles": [{"name": "default", "tests": ["a.b.test_x"]}]}
func profileList(data []byte) (ids []string, err error) {
	var list struct {
		Version  int `json:"version"`
		Profiles []struct {
			Name  string   `json:"name"`
			Tests []string `json:"tests"`
		} `json:"profiles"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read it as JSON: %w", err)
	}
	if list.Version != 1 {
		return nil, fmt.Errorf("it has version %d; want 1", list.Version)
	}
	for _, p := range list.Profiles {
		if p.Name != repo.DefaultProfile && len(p.Tests) > 0 {
			return nil, fmt.Errorf("no profile %q is configured", p.Name)
		}
		for _, id := range p.Tests {
			if err := checkID(id); err != nil {
				return nil, err
			}
		}
		ids = append(ids, p.Tests...)
	}
	return ids, nil
}

// checkID refuses what can't be an id in any stream.
func checkID(id string) error {
	if !utf8.ValidString(id) || strings.Contains(id, "\x00") {
		return errors.New("a test id has to be UTF-8 without NUL")
	}
	return nil
}
