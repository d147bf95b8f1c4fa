package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// user is who asks, and where that person's own configuration is.
type user struct {
	uid    int
	config string                // empty if there is no place for one
	owner  func(os.FileInfo) int // whose a file is; tests have their own
}

func currentUser() user {
	u := user{uid: os.Geteuid(), owner: ownerOf}
	dir := os.Getenv("XDG_CONFIG_HOME")
	if home, err := os.UserHomeDir(); !filepath.IsAbs(dir) && err == nil {
		dir = filepath.Join(home, ".config")
	}
	if filepath.IsAbs(dir) {
		u.config = filepath.Join(dir, "testr", "config")
	}
	return u
}

// mayUse refuses a configuration that another user could have put there: the
// file, a link in its place, and the directory where its commands would run must
// all belong to this user or to root, or be trusted.
func (u user) mayUse(root string, f *os.File) error {
	opened, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	entry, err := os.Lstat(f.Name())
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	dir, err := os.Stat(root)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	for _, is := range []struct {
		what string
		info os.FileInfo
	}{{"it", opened}, {"the link in its place", entry}, {"its directory", dir}} {
		owner := u.owner(is.info)
		if u.accepts(owner) {
			continue
		}
		return u.mustTrust(root, &Error{File: f.Name(),
			Msg: fmt.Sprintf("%s belongs to user %d, so the commands in it are not run", is.what, owner)})
	}
	return nil
}

// accepts reports whether what that user owns is as good as u's own.
func (u user) accepts(owner int) bool { return owner == u.uid || owner == 0 }

// ownerOf is the file's owner, or -1, which nobody accepts, where files have none.
func ownerOf(info os.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// mustTrust returns refusal, unless the user's configuration trusts root.
func (u user) mustTrust(root string, refusal *Error) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	trusted, err := u.trusted()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(trusted, func(dir string) bool { return within(root, dir) }) {
		return nil
	}
	if u.config != "" {
		refusal.Hint = fmt.Sprintf("if you trust whoever can write there, add these lines to %s:\n[%s]\n%s=%s",
			u.config, defaultSection, trustedOption, strings.ReplaceAll(root, "%", "%%"))
	}
	return Errors{refusal}
}

// trustedOption has a directory in each line of its value.
const trustedOption = "trusted_directories"

// trusted returns the directories that the user's configuration trusts.
func (u user) trusted() ([]string, error) {
	if u.config == "" {
		return nil, nil
	}
	data, err := read(u.config, u.owns)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, errs := parse(u.config, data)
	v, problem := f.get(f.defaults, trustedOption)
	if problem != nil {
		errs = append(errs, problem)
	}
	var dirs []string
	for line := range strings.Lines(v.Text) {
		dir := strings.TrimSpace(line)
		if dir == "" {
			continue
		}
		if !filepath.IsAbs(dir) {
			errs = append(errs, &Error{File: u.config, Line: v.Line,
				Msg: fmt.Sprintf("option %q: %q is no absolute path", trustedOption, dir)})
		}
		dirs = append(dirs, dir)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return dirs, nil
}

// owns refuses a user's configuration that somebody else could have written.
func (u user) owns(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	if owner := u.owner(info); !u.accepts(owner) {
		return Errors{{File: f.Name(), Msg: fmt.Sprintf("it belongs to user %d, not to you", owner)}}
	}
	return nil
}

// within reports whether path, which has no links in it, is dir or below it.
func within(path, dir string) bool {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
