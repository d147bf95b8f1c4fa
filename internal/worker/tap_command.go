package worker

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// TapCommands returns the commands of worker=tap, for /bin/sh -c: what to start
// as a worker, and what to list the scripts with. testr is the program to start.
// The worker takes the place of `prove` in the command, with its options, or of
// nothing if the command is just names of scripts; what stands before prove
// stays, and args come at the end. The error says why that can't be done.
func TapCommands(testr, command string, args []string) (run, list string, err error) {
	head, tail, err := cutProve(command)
	if err != nil {
		return "", "", err
	}
	for _, c := range []struct {
		words []string
		to    *string
	}{
		{[]string{testr, "worker", "tap", "--"}, &run},
		{[]string{testr, "worker", "tap", "--list", "--"}, &list},
	} {
		words, err := quoteWords(c.words...)
		if err != nil {
			return "", "", err
		}
		if *c.to, err = appendArgs(head+words+tail, args); err != nil {
			return "", "", err
		}
	}
	return run, list, nil
}

// cutProve returns the source before prove, from which the process of the shell
// becomes that of the worker, and the source of what prove is told.
func cutProve(command string) (head, tail string, err error) {
	words, reason := simpleCommand(command)
	if reason != "" {
		return "", "", errors.New(reason)
	}
	at := slices.IndexFunc(words, func(w word) bool { return w.value == "prove" })
	switch {
	case at < 0 && path.Base(words[0].value) == "prove":
		at = 0
	case at < 0: // names of scripts alone
		start := words[0].start
		words = slices.Insert(words, 0, word{start: start, end: start})
		at = 0
	}
	before := words[:at]
	if reason := unfit(before); reason != "" {
		return "", "", errors.New(reason)
	}
	for _, w := range before {
		if strings.HasPrefix(path.Base(w.value), "perl") {
			return "", "", fmt.Errorf("its prove is started by %q", w.value)
		}
	}
	assigns := command[:words[0].start]
	middle := command[words[0].start:words[at].start]
	if token := firstToken(assigns + middle); token != "" {
		return "", "", fmt.Errorf("%s stands before prove", token)
	}
	tail, reason = cutTokenWords(command, words[at:])
	if reason != "" {
		return "", "", errors.New(reason)
	}
	if tail != "" && !strings.ContainsRune(" \t\n\\", rune(tail[0])) {
		tail = " " + tail
	}
	return assigns + "exec " + middle, tail, nil
}
