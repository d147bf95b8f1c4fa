package sshdial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"testr/internal/instance"
)

// maxIncludes is how deep Include may go, which is OpenSSH's limit, and
// maxIncluded how many files it may read in all: files that include each other
// twice would be read for ever.
const (
	maxIncludes = 16
	maxIncluded = 1024
)

// settings are what a configuration says of one host.
type settings struct {
	// values has the arguments of each keyword, in lower case, as its first
	// line has them: the first value counts.
	values map[string][]string
	// lists has the first argument of every line of the keywords that add up.
	lists map[string][]string
	// expanded says that the HostName's tokens are no more in it.
	expanded bool
}

func newSettings() *settings {
	return &settings{values: make(map[string][]string), lists: make(map[string][]string)}
}

// get is the first argument of a keyword, or otherwise.
func (s *settings) get(keyword, otherwise string) string {
	if v := s.values[keyword]; len(v) > 0 {
		return v[0]
	}
	return otherwise
}

// yes reports whether a keyword is set to what ssh takes for yes.
func (s *settings) yes(keyword string) bool {
	switch strings.ToLower(s.get(keyword, "no")) {
	case "yes", "true":
		return true
	}
	return false
}

// adding are the keywords whose lines add up.
var adding = []string{"identityfile", "certificatefile"}

// set takes a line that holds for the host. ProxyJump and ProxyCommand are one
// setting, of which the first counts; only that there is no jump leaves room for
// a command.
func (s *settings) set(keyword string, args []string) {
	if slices.Contains(adding, keyword) {
		s.lists[keyword] = append(s.lists[keyword], args[0])
		return
	}
	if keyword == "proxyjump" && s.values["proxycommand"] != nil ||
		keyword == "proxycommand" && !strings.EqualFold(s.get("proxyjump", "none"), "none") {
		return
	}
	if s.values[keyword] == nil {
		s.values[keyword] = args
	}
}

// matchError says that there is a Match line, which only ssh itself understands.
type matchError struct {
	file string
	line int
	text string
}

func (e *matchError) Error() string {
	return fmt.Sprintf("%s:%d: %q: only ssh itself understands Match", e.file, e.line, e.text)
}

// configReader reads configuration files as ssh does, for one host.
type configReader struct {
	home     string
	host     string // the name that Host lines are about
	system   bool   // the files are the system's, not the user's
	strict   bool   // the files must be nobody else's to write
	settings *settings
	files    int // read so far
}

// read reads a file. That it does not exist is fs.ErrNotExist.
func (r *configReader) read(path string, depth int) error {
	if r.files++; depth > maxIncludes || r.files > maxIncluded {
		return fmt.Errorf("%s: too many files include one another", path)
	}
	text, err := readRegular(path, func(info fs.FileInfo) error {
		if r.strict {
			return othersWrite(path, info)
		}
		return nil
	})
	if err != nil {
		return err
	}
	active := true
	for i, line := range strings.Split(string(text), "\n") {
		if err := r.line(line, &active, depth); err != nil {
			if match, ok := errors.AsType[*matchError](err); ok {
				if match.file == "" {
					match.file, match.line = path, i+1
				}
				return err
			}
			return fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	return nil
}

// line takes a line. active says whether the section it stands in holds for
// the host.
func (r *configReader) line(line string, active *bool, depth int) error {
	keyword, rest := splitKeyword(line)
	if keyword == "" {
		return nil
	}
	args, err := splitArguments(rest)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return fmt.Errorf("%s has no value", keyword)
	}
	switch keyword {
	case "host":
		*active = matchHost(args, r.host)
		return nil
	case "match":
		if len(args) == 1 && strings.EqualFold(args[0], "all") {
			*active = true
			return nil
		}
		return &matchError{text: strings.TrimSpace(line)}
	}
	if !*active {
		return nil
	}
	switch keyword {
	case "include":
		return r.include(args, depth)
	case "proxycommand": // goes to a shell as it is
		args = []string{strings.TrimRight(strings.TrimLeft(rest, " \t="), " \t\r\f")}
	}
	r.settings.set(keyword, args)
	return nil
}

// include reads the files that an Include line names. Files that are not there
// are not missed.
func (r *configReader) include(patterns []string, depth int) error {
	base := filepath.Join(r.home, ".ssh")
	if r.system {
		base = "/etc/ssh"
	}
	for _, pattern := range patterns {
		if !r.system {
			var err error
			if pattern, err = expandTilde(pattern, r.home); err != nil {
				return err
			}
		}
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(base, pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("include %s: %w", pattern, err)
		}
		for _, file := range files {
			if err := r.read(file, depth+1); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// maxFile is more than any file here that a person has written is long.
const maxFile = 16 << 20

// readRegular reads a file if it is one, and check, if there is one, agrees. It
// never waits for the other end of a pipe. /dev/null is an empty one.
func readRegular(path string, check func(fs.FileInfo) error) ([]byte, error) {
	if path == os.DevNull {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is no regular file", path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s: has %d bytes, which is too long for such a file", path, info.Size())
	}
	if check != nil {
		if err := check(info); err != nil {
			return nil, err
		}
	}
	text := make([]byte, info.Size())
	n, err := readFull(f, text)
	return text[:n], err
}

// othersWrite is an error if others than the user and root may write to a file
// that can name programs to run.
func othersWrite(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: others may write to it (mode %04o); `chmod go-w %s` takes that away",
			path, info.Mode().Perm(), instance.Quote(path))
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("%s: belongs to another user (uid %d)", path, stat.Uid)
	}
	return nil
}
