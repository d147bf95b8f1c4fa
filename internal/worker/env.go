package worker

import (
	"slices"

	"mvdan.cc/sh/v3/syntax"
)

// StartsProgram reports whether words such as "env NAME=VALUE" may stand before a
// command for /bin/sh: it is one simple command that starts a program, and what it
// assigns before that means the same as an argument.
func StartsProgram(command string) bool {
	words, reason := simpleCommand(command)
	if reason != "" || slices.Contains(shellWords, words[0].value) {
		return false
	}
	file, err := parseShell(command)
	if err != nil {
		return false
	}
	call, ok := file.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok {
		return false
	}
	for _, a := range call.Assigns {
		// As an argument, what comes of a variable would be split.
		if a.Append || a.Value != nil && staticValue(a.Value.Parts) == "" && len(a.Value.Parts) > 0 && !quotedWhole(a.Value) {
			return false
		}
	}
	return true
}

// quotedWhole reports whether a word is all in double quotes.
func quotedWhole(w *syntax.Word) bool {
	return !slices.ContainsFunc(w.Parts, func(p syntax.WordPart) bool {
		_, ok := p.(*syntax.DblQuoted)
		return !ok
	})
}
