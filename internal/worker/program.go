package worker

import (
	"slices"

	"mvdan.cc/sh/v3/syntax"
)

// Program returns the program that a command for /bin/sh starts first, by the
// name or path that stands there. It is empty where that depends on anything but
// the command, or where the shell itself does what comes first.
func Program(command string) string {
	file, err := parseShell(command)
	if err != nil || len(file.Stmts) == 0 {
		return ""
	}
	first := file.Stmts[0]
	for {
		binary, ok := first.Cmd.(*syntax.BinaryCmd)
		if !ok {
			break
		}
		first = binary.X
	}
	call, ok := first.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}
	args := call.Args
	name := staticValue(args[0].Parts)
	if name == "exec" && len(args) > 1 {
		name = staticValue(args[1].Parts)
	}
	if slices.Contains(shellWords, name) || len(name) > 0 && name[0] == '-' {
		return ""
	}
	return name
}
