package worker

import (
	"errors"
	"fmt"
	"strings"
)

// goArgs is what followed `go test` in a command, sorted by who gets it.
type goArgs struct {
	dir      string    // of -C: where the go command runs
	build    []string  // flags that `go test -c` and `go list` share
	vet      []string  // flags of `go test -c` alone
	patterns []string  // packages; empty means the one of the directory
	run      goPattern // of -run; nil takes every test
	skip     goPattern // of -skip; nil skips none
	test     []string  // arguments of the test binary
}

// goFlagUse says what becomes of a flag of `go test`.
type goFlagUse uint8

const (
	goFlagInvalid goFlagUse = iota
	goFlagBuild             // for `go list` and `go test -c`
	goFlagVet               // for `go test -c`
	goFlagTest              // for the test binary, as -test.NAME
	goFlagDrop              // has no effect on a test that is run alone
	goFlagRefuse            // can't be done one test at a time
	goFlagRun
	goFlagSkip
	goFlagDir
)

// goFlag is one flag that `go test` knows.
type goFlag struct {
	use  goFlagUse
	bool bool // takes a value only as -name=value
}

// goFlags are the flags of `go test`. What is not here is the test binary's
// own, as for the go command.
var goFlags = map[string]goFlag{
	"C": {use: goFlagDir},

	"a": {goFlagBuild, true}, "asan": {goFlagBuild, true}, "cover": {goFlagBuild, true},
	"linkshared": {goFlagBuild, true}, "modcacherw": {goFlagBuild, true}, "msan": {goFlagBuild, true},
	"race": {goFlagBuild, true}, "trimpath": {goFlagBuild, true}, "buildvcs": {goFlagBuild, true},
	"asmflags": {use: goFlagBuild}, "buildmode": {use: goFlagBuild}, "compiler": {use: goFlagBuild},
	"covermode": {use: goFlagBuild}, "coverpkg": {use: goFlagBuild}, "gccgoflags": {use: goFlagBuild},
	"gcflags": {use: goFlagBuild}, "installsuffix": {use: goFlagBuild}, "ldflags": {use: goFlagBuild},
	"mod": {use: goFlagBuild}, "modfile": {use: goFlagBuild}, "overlay": {use: goFlagBuild},
	"p": {use: goFlagBuild}, "pgo": {use: goFlagBuild}, "pkgdir": {use: goFlagBuild},
	"tags": {use: goFlagBuild}, "toolexec": {use: goFlagBuild},
	"vet": {use: goFlagVet},

	"failfast": {goFlagTest, true}, "fullpath": {goFlagTest, true}, "short": {goFlagTest, true},
	"cpu": {use: goFlagTest}, "parallel": {use: goFlagTest}, "timeout": {use: goFlagTest},
	"run": {use: goFlagRun}, "skip": {use: goFlagSkip},

	"benchmem": {goFlagDrop, true}, "i": {goFlagDrop, true}, "json": {goFlagDrop, true},
	"v": {goFlagDrop, true}, "work": {goFlagDrop, true}, "x": {goFlagDrop, true},
	"bench": {use: goFlagDrop}, "benchtime": {use: goFlagDrop}, "blockprofilerate": {use: goFlagDrop},
	"count": {use: goFlagDrop}, "fuzzminimizetime": {use: goFlagDrop}, "fuzztime": {use: goFlagDrop},
	"memprofilerate": {use: goFlagDrop}, "mutexprofilefraction": {use: goFlagDrop},
	"shuffle": {use: goFlagDrop},

	"artifacts": {goFlagRefuse, true}, "c": {goFlagRefuse, true}, "n": {goFlagRefuse, true},
	"blockprofile": {use: goFlagRefuse}, "coverprofile": {use: goFlagRefuse},
	"cpuprofile": {use: goFlagRefuse}, "exec": {use: goFlagRefuse}, "fuzz": {use: goFlagRefuse},
	"list": {use: goFlagRefuse}, "memprofile": {use: goFlagRefuse}, "mutexprofile": {use: goFlagRefuse},
	"o": {use: goFlagRefuse}, "outputdir": {use: goFlagRefuse}, "trace": {use: goFlagRefuse},
}

// parseGoArgs sorts the arguments of `go test` as the go command does: flags
// and one list of packages in any order, then what is the test binary's.
func parseGoArgs(args []string) (*goArgs, error) {
	p := &goArgParser{left: args}
	for len(p.left) > 0 {
		arg := p.left[0]
		if !isGoFlag(arg) {
			p.takeWord(arg)
			continue
		}
		if err := p.takeFlag(arg); err != nil {
			return nil, err
		}
	}
	return &p.goArgs, nil
}

// goArgParser is where parseGoArgs stands.
type goArgParser struct {
	goArgs
	left []string

	inPatterns     bool // the last argument was a package
	patternsDone   bool // no more packages may come
	valueMayFollow bool // the last one was a flag that only the test binary knows
}

// takeWord takes an argument that is no flag.
func (p *goArgParser) takeWord(arg string) {
	switch {
	case arg != "--" && !p.patternsDone:
		p.patterns = append(p.patterns, arg)
		p.inPatterns = true
	case arg != "--" && p.valueMayFollow:
		p.test = append(p.test, arg)
	default: // here the test binary's own arguments begin
		p.takeRest()
		return
	}
	p.valueMayFollow = false
	p.left = p.left[1:]
}

// takeRest gives all that is left to the test binary.
func (p *goArgParser) takeRest() {
	p.test = append(p.test, p.left...)
	p.left = nil
}

// takeFlag takes a flag, and the value after it.
func (p *goArgParser) takeFlag(arg string) error {
	p.left = p.left[1:]
	p.patternsDone = p.patternsDone || p.inPatterns
	p.valueMayFollow = false
	name, value, hasValue := cutGoFlag(arg)
	flag, known := goFlags[name]
	switch {
	case name == "args" && !hasValue:
		p.takeRest()
		return nil
	case !known:
		p.test = append(p.test, arg)
		p.patternsDone, p.valueMayFollow = true, !hasValue
		return nil
	case hasValue:
	case flag.bool:
		value = "true"
	case len(p.left) == 0:
		return fmt.Errorf("go test: flag needs an argument: %s", arg)
	default:
		value, p.left = p.left[0], p.left[1:]
	}
	if err := p.addFlag(name, value, flag); err != nil {
		return fmt.Errorf("go test %s: %w", arg, err)
	}
	return nil
}

// addFlag takes a flag that `go test` knows.
func (a *goArgs) addFlag(name, value string, flag goFlag) (err error) {
	written := name + "=" + value
	switch flag.use {
	case goFlagBuild:
		a.build = append(a.build, "-"+written)
	case goFlagVet:
		a.vet = append(a.vet, "-"+written)
	case goFlagTest:
		a.test = append(a.test, "-test."+written)
	case goFlagRun:
		a.run, err = parseGoPattern(value)
	case goFlagSkip:
		a.test = append(a.test, "-test."+written) // acts on subtests
		a.skip, err = parseGoPattern(value)
	case goFlagDir:
		a.dir = value
	case goFlagRefuse:
		err = errGoFlag
	}
	return err
}

// errGoFlag refuses a flag that needs all tests of a package in one process,
// or no test at all.
var errGoFlag = errors.New("not supported where each test runs in a process of its own")

// isGoFlag tells flags from words as the go command does.
func isGoFlag(arg string) bool { return len(arg) > 1 && arg[0] == '-' && arg != "--" }

// cutGoFlag splits -name, --name and -name=value. A flag that is written with
// the test binary's name for it, -test.name, is the same.
func cutGoFlag(arg string) (name, value string, hasValue bool) {
	name, value, hasValue = strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	if short, ok := strings.CutPrefix(name, "test."); ok {
		if use := goFlags[short].use; use != goFlagInvalid && use != goFlagBuild {
			name = short
		}
	}
	return name, value, hasValue
}
