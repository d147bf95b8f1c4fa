package worker

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"testr/internal/instance"
)

// perlShebang is the first line of a Perl script; what it catches is the switch
// for taint mode, which has to be on the command line too.
var perlShebang = regexp.MustCompile(`^#!.*\bperl(?:.*\s-\w*([Tt]))?`)

// command says how a script is started: as prove starts it. What perl can run,
// perl runs.
func (t *tap) command(path string) (instance.Command, error) {
	file := path
	if !strings.Contains(file, "/") {
		file = "./" + file // neither an option nor something in PATH
	}
	var args []string
	var env []string
	if t.args.exec != nil {
		args = append(slices.Clone(t.args.exec), file)
	} else {
		var err error
		if args, env, err = t.starter(path, file); err != nil {
			return instance.Command{}, err
		}
	}
	return instance.Command{
		Args: append(args, t.args.forTests...),
		Env:  append(env, "HARNESS_ACTIVE=1"),
	}, nil
}

// starter finds out what runs a script that no --exec speaks for.
func (t *tap) starter(path, file string) (args, env []string, err error) {
	head, executable, err := tapHead(tapJoin(t.dir, path))
	if err != nil {
		return nil, nil, err
	}
	line, _, _ := strings.Cut(string(head), "\n")
	perl := perlShebang.FindStringSubmatch(line)
	shebang, hasShebang := strings.CutPrefix(line, "#!")
	interpreter := tapInterpreter(shebang)
	switch {
	case perl != nil:
		return t.perl(file, perl[1])
	case hasShebang && executable:
		return []string{file}, nil, nil
	case hasShebang && len(interpreter) > 0:
		return append(interpreter, file), nil, nil
	case executable && bytes.IndexByte(head, 0) >= 0:
		return []string{file}, nil, nil
	}
	return t.perl(file, "")
}

// tapHead returns the beginning of a script.
func tapHead(path string) (head []byte, executable bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, fmt.Errorf("read the script: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil {
		head, err = io.ReadAll(io.LimitReader(f, 1<<10))
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the script: %w", err)
	}
	return head, info.Mode()&0o111 != 0, nil
}

// tapInterpreter is what the system makes of a first line: a program and at most
// one argument.
func tapInterpreter(shebang string) []string {
	program, arg, _ := strings.Cut(strings.TrimSpace(shebang), " ")
	if program == "" {
		return nil
	}
	if arg = strings.TrimSpace(arg); arg != "" {
		return []string{program, arg}
	}
	return []string{program}
}

// perl starts a script with the libraries of -l, -b and -I. In taint mode perl
// doesn't look at its variables in the environment.
func (t *tap) perl(file, taint string) (args, env []string, err error) {
	libs, err := t.args.libs(t.dir)
	if err != nil {
		return nil, nil, err
	}
	inherited := os.Getenv("PERL5LIB")
	if taint == "" {
		if len(libs) > 0 {
			if inherited != "" {
				libs = append(libs, inherited)
			}
			env = []string{"PERL5LIB=" + strings.Join(libs, ":")}
		}
		return []string{"perl", file}, env, nil
	}
	args = []string{"perl", "-" + taint}
	for _, lib := range append(libs, strings.Split(inherited, ":")...) {
		if lib != "" {
			args = append(args, "-I"+lib)
		}
	}
	args = append(args, strings.Fields(os.Getenv("PERL5OPT"))...)
	return append(args, file), nil, nil
}

// libs are the directories for perl to look for modules, absolute.
func (a *tapArgs) libs(dir string) ([]string, error) {
	var libs []string
	if a.lib {
		libs = append(libs, "lib")
	}
	if a.blib {
		libs = append(libs, "blib/lib", "blib/arch")
	}
	libs = append(libs, a.include...)
	for i, lib := range libs {
		abs, err := filepath.Abs(tapJoin(dir, lib))
		if err != nil {
			return nil, fmt.Errorf("find the directory %s: %w", lib, err)
		}
		libs[i] = abs
	}
	return libs, nil
}
