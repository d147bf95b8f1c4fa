package worker

import (
	"errors"
	"fmt"
	"strings"
)

// tapArgs is what prove was told.
type tapArgs struct {
	exec      []string // of --exec: what runs the scripts; empty and not nil means themselves
	lib, blib bool     // of -l and -b
	include   []string // of -I
	recurse   bool     // of -r
	names     []string // scripts, directories and patterns
	forTests  []string // what each script gets: it stood after "::"
}

// errProveOption is the beginning of what is said of options that have no
// meaning here.
var errProveOption = errors.New("an option of prove that the tap worker does not know")

// parseTapArgs reads the words that follow prove in a command: options and names
// in any order, short options together in one word or not.
func parseTapArgs(args []string) (*tapArgs, error) {
	a := &tapArgs{}
	p := tapArgParser{left: args, args: a}
	for len(p.left) > 0 {
		arg := p.left[0]
		p.left = p.left[1:]
		var err error
		switch {
		case arg == "::":
			a.forTests = p.left
			return a.orDefault(), nil
		case arg == "--":
			for i, name := range p.left {
				if name == "::" {
					a.names = append(a.names, p.left[:i]...)
					a.forTests = p.left[i+1:]
					return a.orDefault(), nil
				}
			}
			a.names = append(a.names, p.left...)
			return a.orDefault(), nil
		case strings.HasPrefix(arg, "--"):
			err = p.long(arg)
		case len(arg) > 1 && arg[0] == '-':
			err = p.short(arg)
		case arg == "-":
			err = errors.New(`prove's "-", names on its standard input: the worker's is for requests`)
		default:
			a.names = append(a.names, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	return a.orDefault(), nil
}

// orDefault names what prove runs if it is told no name.
func (a *tapArgs) orDefault() *tapArgs {
	switch {
	case len(a.names) > 0:
	case a.recurse:
		a.names = []string{"."}
	default:
		a.names = []string{"t"}
	}
	return a
}

type tapArgParser struct {
	left []string
	args *tapArgs
}

func (p *tapArgParser) long(arg string) error {
	name, value, hasValue := strings.Cut(arg, "=")
	if name == "--exec" {
		if !hasValue {
			var err error
			if value, err = p.next(name); err != nil {
				return err
			}
		}
		p.args.exec = append([]string{}, strings.Fields(value)...)
		return nil
	}
	if !hasValue && p.flag(map[string]byte{"--lib": 'l', "--blib": 'b', "--recurse": 'r', "--verbose": 'v'}[name]) {
		return nil
	}
	return refuseProve(name)
}

func (p *tapArgParser) short(arg string) error {
	for i := 1; i < len(arg); i++ {
		switch {
		case arg[i] == 'e' || arg[i] == 'I':
			value := arg[i+1:]
			if value == "" {
				var err error
				if value, err = p.next("-" + arg[i:i+1]); err != nil {
					return err
				}
			}
			if arg[i] == 'I' {
				p.args.include = append(p.args.include, value)
			} else {
				p.args.exec = append([]string{}, strings.Fields(value)...)
			}
			return nil
		case !p.flag(arg[i]):
			return refuseProve("-" + arg[i:i+1])
		}
	}
	return nil
}

// flag takes an option without a value; it reports whether there is such.
func (p *tapArgParser) flag(name byte) bool {
	switch name {
	case 'l':
		p.args.lib = true
	case 'b':
		p.args.blib = true
	case 'r':
		p.args.recurse = true
	case 'v': // every assertion is an event anyhow
	default:
		return false
	}
	return true
}

func (p *tapArgParser) next(option string) (string, error) {
	if len(p.left) == 0 {
		return "", fmt.Errorf("prove's option %s wants a value", option)
	}
	value := p.left[0]
	p.left = p.left[1:]
	return value, nil
}

func refuseProve(option string) error {
	if option == "-j" || option == "--jobs" {
		return fmt.Errorf("%w: %s; how many scripts run at a time is said by testr run --concurrency",
			errProveOption, option)
	}
	return fmt.Errorf("%w: %s", errProveOption, option)
}
