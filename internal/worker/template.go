package worker

import (
	"errors"
	"fmt"
	"strings"

	"testr/internal/instance"
)

// The tokens that testr replaces in a command. They are not shell variables:
// they have no braces, and what follows them directly is not part of their name,
// so that "$IDFILES" is a file's name and an "S".
const (
	tokenIDOption = "$IDOPTION"
	tokenIDFile   = "$IDFILE"
	tokenIDList   = "$IDLIST"
	tokenListOpt  = "$LISTOPT"
)

var tokens = []string{tokenIDOption, tokenIDFile, tokenIDList, tokenListOpt}

// ErrNotSelectable means that a command has no place for ids.
var ErrNotSelectable = errors.New("the command can't be told which tests to run")

// ErrTooLong means that a command is longer than a system passes on. Fewer ids
// make it shorter.
var ErrTooLong = errors.New("the command is too long for one process; $IDFILE has no such limit")

// maxCommand is what Linux takes as a single argument, less its final NUL.
const maxCommand = 128<<10 - 1

// Template is a command for /bin/sh with places for what testr has to say. Its
// fields are what the options test_command, test_id_option, test_list_option and
// test_id_list_default have. What comes from elsewhere, ids and arguments, is
// quoted for the shell; what stands in the configuration is not.
type Template struct {
	Command       string
	IDOption      string // in place of $IDOPTION where some tests are run
	ListOption    string // in place of $LISTOPT where tests are listed
	IDListDefault string // in place of $IDLIST where tests are listed

	// Nested says that the command becomes a part of another one, which may give
	// it to one more shell, as "ssh HOST COMMAND" does: then quotes don't hold.
	Nested bool
}

// Selectable reports whether the command can be told which tests to run.
func (t Template) Selectable() bool {
	return strings.Contains(t.Command, tokenIDFile) || strings.Contains(t.Command, tokenIDList) ||
		strings.Contains(t.Command, tokenIDOption) &&
			(strings.Contains(t.IDOption, tokenIDFile) || strings.Contains(t.IDOption, tokenIDList))
}

// Listable reports whether it can be known which tests there are: by the command
// where Lists is true as well, else by DefaultIDs.
func (t Template) Listable() bool { return t.Lists() || len(t.DefaultIDs()) > 0 }

// Lists reports whether the command can be told to list its tests.
func (t Template) Lists() bool { return strings.Contains(t.Command, tokenListOpt) }

// DefaultIDs returns the ids that test_id_list_default has.
func (t Template) DefaultIDs() []string { return strings.Fields(t.IDListDefault) }

// List returns the command that lists the tests.
func (t Template) List(args []string) (string, error) {
	var b strings.Builder
	for _, p := range t.pieces(t.ListOption, "") {
		if p.token == tokenIDList {
			p.text = t.IDListDefault
		}
		b.WriteString(p.text)
	}
	return appendArgs(b.String(), args)
}

// Run returns the command that runs the tests with those ids, which are in
// idFile as well, one a line. Without ids, nil, it is the command that runs what
// it runs by itself; an empty list is an error, lest nothing become everything.
// So is an id that Split would refuse.
func (t Template) Run(ids []string, idFile string, args []string) (string, error) {
	if ids == nil {
		return t.runAll(args)
	}
	if len(ids) == 0 {
		return "", errors.New("make a command: it has no test ids")
	}
	if !t.Selectable() {
		return "", ErrNotSelectable
	}
	places := t.places()
	for _, id := range ids {
		if why := places.refuse(id); why != "" {
			return "", fmt.Errorf("make a command for test id %q: %s", id, why)
		}
	}
	if why := places.file.refuse(idFile); places.file != noPlace && why != "" {
		return "", fmt.Errorf("make a command with the file %q: %s", idFile, why)
	}
	var b strings.Builder
	for _, p := range t.pieces("", t.IDOption) {
		switch p.token {
		case tokenIDFile:
			p.text = instance.Quote(idFile)
		case tokenIDList:
			p.text = instance.Quote(ids...)
		}
		b.WriteString(p.text)
	}
	return appendArgs(b.String(), args)
}

func (t Template) runAll(args []string) (string, error) {
	var b strings.Builder
	for _, p := range t.pieces("", "") {
		b.WriteString(p.text)
	}
	return appendArgs(b.String(), args)
}

// piece is a part of a command: text as it is, or one of the tokens $IDFILE and
// $IDLIST, whose text is empty.
type piece struct{ text, token string }

// pieces cuts the command up at its tokens, and puts listOption and idOption in
// their places. Only idOption is looked through for tokens in turn.
func (t Template) pieces(listOption, idOption string) []piece {
	var all []piece
	for _, p := range cutTokens(t.Command) {
		switch p.token {
		case tokenListOpt:
			all = append(all, piece{text: listOption})
		case tokenIDOption:
			for _, inner := range cutTokens(idOption) {
				if inner.token != tokenListOpt && inner.token != tokenIDOption {
					all = append(all, inner)
				}
			}
		default:
			all = append(all, p)
		}
	}
	return all
}

// cutTokens cuts text up at its tokens, from left to right.
func cutTokens(text string) []piece {
	var all []piece
	for start, i := 0, 0; ; {
		dollar := strings.IndexByte(text[i:], '$')
		if dollar < 0 {
			return append(all, piece{text: text[start:]})
		}
		i += dollar
		token := tokenAt(text[i:])
		if token == "" {
			i++
			continue
		}
		all = append(all, piece{text: text[start:i]}, piece{token: token})
		i += len(token)
		start = i
	}
}

// tokenAt returns the token that text begins with, if any.
func tokenAt(text string) string {
	for _, token := range tokens {
		if strings.HasPrefix(text, token) {
			return token
		}
	}
	return ""
}

// appendArgs quotes the arguments and puts them at a command's end.
func appendArgs(command string, args []string) (string, error) {
	var b strings.Builder
	b.WriteString(command)
	for _, arg := range args {
		quoted, err := Quote(arg)
		if err != nil {
			return "", err
		}
		b.WriteString(" " + quoted)
	}
	if b.Len() > maxCommand {
		return "", ErrTooLong
	}
	return b.String(), nil
}
