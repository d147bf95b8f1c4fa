package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// lookPath finds a program as execvp does, in the PATH that the command itself
// will have; the relative directories in it are left out. A name with a slash
// stays as it is: it is relative to the command's directory.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := ""
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			path = value
		}
	}
	notFound := exec.ErrNotFound
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		found, err := exec.LookPath(filepath.Join(dir, name))
		switch {
		case err == nil:
			return found, nil
		case errors.Is(err, fs.ErrPermission):
			notFound = err // names the file that is there
		}
	}
	return "", fmt.Errorf("%w; PATH is %q", notFound, path)
}

// explainStart says what was missing, where the system's own message names the
// program whatever it was.
func explainStart(err error, p *program) error {
	if p.dir != "" {
		if info, statErr := os.Stat(p.dir); statErr != nil {
			return fmt.Errorf("enter the working directory: %w", statErr)
		} else if !info.IsDir() {
			return fmt.Errorf("enter the working directory: %w",
				&fs.PathError{Op: "chdir", Path: p.dir, Err: syscall.ENOTDIR})
		}
	}
	program := p.path
	if !filepath.IsAbs(program) {
		program = filepath.Join(p.dir, program)
	}
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%w (is it a script without a #! line?)", err)
	case errors.Is(err, fs.ErrNotExist):
		if _, statErr := os.Stat(program); statErr == nil {
			return fmt.Errorf("%w (the interpreter that its #! line names)", err)
		}
	}
	return err
}
