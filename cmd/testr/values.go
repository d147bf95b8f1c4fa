package main

import (
	"errors"
	"strconv"

	"github.com/urfave/cli/v2"

	"testr/internal/config"
)

// value is what an option has that may stand only once.
type value[T any] struct {
	parse func(string) (T, error)
	value T
	set   bool
}

var errTwice = errors.New("given twice: leave one out")

// Set takes the option's text.
func (v *value[T]) Set(s string) (err error) {
	if v.set {
		return errTwice
	}
	v.value, err = v.parse(s)
	v.set = err == nil
	return err
}

// String is empty: no option of this kind shows its default.
func (v *value[T]) String() string { return "" }

// pointer is the value, or nil if the option was not given.
func (v *value[T]) pointer() *T {
	if !v.set {
		return nil
	}
	return &v.value
}

// flag makes the option. V is read by parse.
func (v *value[T]) flag(name, usage string, parse func(string) (T, error)) cli.Flag {
	v.parse = parse
	return &cli.GenericFlag{Name: name, Value: v, Usage: usage}
}

var errCount = errors.New("want a number, 0 or more")

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, errCount
	}
	return n, nil
}

var errAtLeastOne = errors.New("want a number, 1 or more")

func atLeastOne(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, errAtLeastOne
	}
	return n, nil
}

var errSeed = errors.New("want a whole number, 0 or more")

func parseSeed(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, errSeed
	}
	return n, nil
}

var parseDuration = config.ParseDuration
