package worker

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"testr/internal/instance"
)

// place says what may be written where a token stands.
type place uint8

const (
	noPlace     place = iota // the command hasn't got the token
	argument                 // an argument of its own: any words, quoted
	quoted                   // in quotes or in something odd: only what needs no quotes
	notForWords              // where a word would become a command or part of the shell's syntax
)

// places are those of the two tokens that carry ids.
type places struct{ file, list place }

// places finds out where ids would be written.
//
// The shell's grammar decides what a quote means, so the command is parsed: ids
// come from elsewhere and must never become part of it.
func (t Template) places() places {
	var b strings.Builder
	at := map[uint]string{}
	for _, p := range t.pieces("", t.IDOption) {
		if p.token != "" {
			at[uint(b.Len())] = p.token
		}
		b.WriteString(p.text + p.token)
	}
	kinds := tokenPlaces(b.String())
	var all places
	for offset, token := range at {
		kind, known := kinds[offset]
		if !known {
			kind = quoted
		}
		switch {
		case token == tokenIDList:
			all.list = max(all.list, kind)
		case kind == notForWords: // a file is one word, of testr's own making
			all.file = max(all.file, quoted)
		default:
			all.file = max(all.file, kind)
		}
	}
	if t.Nested && all.list == argument {
		all.list = quoted
	}
	if t.Nested && all.file == argument {
		all.file = quoted
	}
	return all
}

// tokenPlaces says for the parameters of a command, by their offset, which are
// arguments and which are notForWords. It says nothing of others, and nothing at
// all of a command that doesn't parse.
func tokenPlaces(command string) map[uint]place {
	kinds := map[uint]place{}
	file, err := parseShell(command)
	if err != nil {
		return kinds
	}
	mark := func(kind place, words ...*syntax.Word) {
		for _, word := range words {
			if word == nil {
				continue
			}
			for _, part := range word.Parts {
				if _, ok := part.(*syntax.ParamExp); ok {
					kinds[part.Pos().Offset()] = kind
				}
			}
		}
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.CmdSubst:
			// Between backquotes, backslashes and backquotes in quotes have a
			// meaning.
			return !node.Backquotes
		case *syntax.Assign:
			mark(notForWords, node.Value)
		case *syntax.Redirect:
			mark(notForWords, node.Word)
		case *syntax.WordIter:
			mark(argument, node.Items...)
		case *syntax.CallExpr:
			if len(node.Args) > 0 && !readsAgain(node.Args[0]) {
				mark(notForWords, node.Args[0])
				mark(argument, node.Args[1:]...)
			}
		}
		return true
	})
	return kinds
}

// readsAgain reports whether a command gives its arguments to a shell once more.
func readsAgain(command *syntax.Word) bool {
	return slices.Contains([]string{"eval", "ssh"}, command.Lit())
}

func parseShell(command string) (*syntax.File, error) {
	parser := syntax.NewParser(syntax.Variant(syntax.LangPOSIX), syntax.KeepComments(true))
	return parser.Parse(strings.NewReader(command), "")
}

// refuse says why a text can't be written at this place; the empty string means
// that it can.
func (p place) refuse(text string) string {
	switch {
	case strings.IndexByte(text, 0) >= 0:
		return "it has a NUL byte"
	case p == notForWords:
		return "ids would stand where the shell expects a command, a value or a file"
	case p == quoted && !instance.Bare(text):
		return "it would need quotes within the quotes of the command"
	}
	return ""
}

// Why ids are refused, as far as it doesn't depend on the command.
const (
	refusedNewline = "newline"
	refusedEmpty   = "empty id"
)

// refuse says why a test id can't be given to the command; the empty string
// means that it can.
func (p places) refuse(id string) string {
	switch {
	case id == "":
		return refusedEmpty
	case strings.ContainsAny(id, "\n\r"):
		return refusedNewline
	}
	if p.file != noPlace && strings.TrimSpace(id) != id {
		// Programs that read lists of ids strip their lines.
		return "white space at an end"
	}
	if p.list == noPlace {
		return argument.refuse(id)
	}
	if id[0] == '-' {
		return "it would be taken for an option"
	}
	return p.list.refuse(id)
}

// Refusal is a test id that a command can't be given, and why.
type Refusal struct{ ID, Reason string }

// Split tells the ids that the command can be given from those that it can't be
// given without danger to become something else: two ids, an option, a piece of
// shell. Those are not run.
func (t Template) Split(ids []string) (usable []string, refused []Refusal) {
	places := t.places()
	for _, id := range ids {
		if why := places.refuse(id); why != "" {
			refused = append(refused, Refusal{id, why})
		} else {
			usable = append(usable, id)
		}
	}
	return usable, refused
}
