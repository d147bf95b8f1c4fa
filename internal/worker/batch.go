package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Batch makes the commands that run tests a batch at a time: one process for
// each command, which gets its ids with the command.
type Batch struct {
	Template Template
	TempDir  string // where files with ids go; empty means the system's
	// Path is where the program finds a file of this machine; nil means that it
	// is the same file.
	Path func(file string) string
}

// Command returns the program that runs the tests with those ids, the files of
// this machine that it needs, and what to call when it has ended: cleanup removes
// these files. Without ids, nil, it is the program that runs all; see
// Template.Run.
func (b Batch) Command(ids, args []string) (argv, files []string, cleanup func() error, err error) {
	file, there, cleanup := "", "", func() error { return nil }
	if ids != nil && b.Template.places().file != noPlace {
		dir, err := os.MkdirTemp(b.TempDir, "testr-ids-") // for this user alone
		if err != nil {
			return nil, nil, nil, fmt.Errorf("make a file for test ids: %w", err)
		}
		cleanup = func() error { return os.RemoveAll(dir) }
		file = filepath.Join(dir, "ids")
		there, files = file, []string{file}
		if b.Path != nil {
			there = b.Path(file)
		}
	}
	command, err := b.Template.Run(ids, there, args)
	if err == nil && file != "" {
		err = writeIDs(file, ids)
	}
	if err != nil {
		_ = cleanup() // err says more
		return nil, nil, nil, err
	}
	return shell(command), files, cleanup, nil
}

// writeIDs writes a new file with one id a line. The ids have no newlines:
// Template.Run has seen to that.
func writeIDs(path string, ids []string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make a file for test ids: %w", err)
	}
	_, err = f.WriteString(strings.Join(ids, "\n") + "\n")
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write test ids: %w", err)
	}
	return nil
}

// shell is the program that runs a command.
func shell(command string) []string { return []string{"/bin/sh", "-c", command} }
