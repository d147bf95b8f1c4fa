package sshhost

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"testr/internal/instance"
)

// keeperScript is what the keeper does.
//
//go:embed keeper.sh
var keeperScript string

// commandScript becomes a command.
//
//go:embed command.sh
var commandScript string

// bringScript puts its input into a file.
//
//go:embed bring.sh
var bringScript string

// keeperVariable is how what a command has started is known.
const keeperVariable = "TESTR_KEEPER"

// variableName is what a shell can export.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// bootstrap is a request that has a POSIX shell read a script from the
// beginning of its input, and run it; what follows there is for the script. It
// means the same to any login shell, shows nobody anything, and has no limit.
//
// The program that reads may read on, so nothing must follow before the script
// says that it runs. A script that was cut off does nothing: it is one group.
func bootstrap(script string) (request, input string) {
	input = "{\n" + script + "\n}\n"
	return `exec /bin/sh -c 'eval "$(head -c ` + strconv.Itoa(len(input)) + `)"'`, input
}

// assign is a shell's assignment.
func assign(name, value string) string { return name + "=" + instance.Quote(value) + "\n" }

// launch is the script that becomes a command.
func launch(l *life, key string, p *program) string {
	var b strings.Builder
	for _, v := range [][2]string{
		{"testr_token", l.token}, {"testr_run", l.run}, {"testr_key", key},
		{"testr_instance", l.host.cfg.Name}, {"testr_directory", l.directory(p.dir)}, {"testr_setup", p.setup},
	} {
		b.WriteString(assign(v[0], v[1]))
	}
	b.WriteString("testr_export() {\n")
	for _, variable := range append(p.env, keeperVariable+"="+l.name) {
		name, value, _ := strings.Cut(variable, "=")
		b.WriteString("export " + assign(name, value))
	}
	b.WriteString("}\nset -- " + instance.Quote(p.args...) + "\n")
	b.WriteString(commandScript)
	return b.String()
}

// program is a command with what its host adds to it.
type program struct {
	args  []string
	dir   string // absolute, or relative to the home directory; empty for that
	env   []string
	setup string
	files []string
}

// check says what is wrong with a program that no host could run.
func (p *program) check() error {
	if len(p.args) == 0 {
		return errors.New("it names no program")
	}
	if p.args[0] == "" || p.args[0][0] == '-' {
		return fmt.Errorf("%q is no name of a program", p.args[0])
	}
	for _, text := range append([]string{p.dir, p.setup}, p.args...) {
		if strings.Contains(text, "\x00") {
			return errors.New("an argument, the directory or the setup has a NUL in it")
		}
	}
	return checkEnv(p.env)
}

// checkEnv says which variable a shell could not set.
func checkEnv(env []string) error {
	for _, variable := range env {
		name, value, ok := strings.Cut(variable, "=")
		switch {
		case !ok || !variableName.MatchString(name):
			return fmt.Errorf("%q is no name of an environment variable for a shell: want letters, digits and _", name)
		case strings.Contains(value, "\x00"):
			return fmt.Errorf("the environment variable %s has a NUL in it", name)
		}
	}
	return nil
}
