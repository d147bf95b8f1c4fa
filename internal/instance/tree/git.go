package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"testr/internal/instance"
)

// gitLocal are the variables that tell git which repository it works on. A
// hook, or git rebase --exec, has them set, and for another tree perhaps.
var gitLocal = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE",
	"GIT_IMPLICIT_WORK_TREE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS",
	"GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_DEFAULT_HASH",
}

// gitOptions let the index of exclude have names that a tree may have here, and
// the objects that it names.
var gitOptions = []string{
	"-c", "core.protectNTFS=false", "-c", "core.protectHFS=false", "-c", "init.defaultObjectFormat=sha1",
}

// git runs git in a directory and gives its output.
func git(ctx context.Context, dir string, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", slices.Concat(gitOptions, args)...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(gitLocal, name)
	})
	cmd.Env = append(cmd.Env, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var stdout bytes.Buffer
	var stderr instance.Tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	switch err := cmd.Run(); {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("git %s in %s: %w%s", args[0], dir, err, explain(&stderr))
	}
	return stdout.Bytes(), nil
}

// hasGit says whether the files of a directory are git's to name. If the
// directory is in a work tree that git refuses, that is an error: without git
// everything that it ignores would be brought.
func hasGit(ctx context.Context, dir string) (bool, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return false, nil
	}
	said, err := git(ctx, dir, nil, "rev-parse", "--is-inside-work-tree")
	if err == nil {
		return string(said) == "true\n", nil
	}
	if ctx.Err() != nil {
		return false, err
	}
	for above := dir; ; above = filepath.Dir(above) {
		if _, statErr := os.Lstat(filepath.Join(above, ".git")); statErr == nil {
			return false, err
		}
		if above == filepath.Dir(above) {
			return false, nil
		}
	}
}

// gitNames are the files of dir that git doesn't ignore, those of repositories
// inside of it included. Some may be there no more; prefix stands before each.
func gitNames(ctx context.Context, dir, prefix string) ([]string, error) {
	listed, err := git(ctx, dir, nil, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(listed), "\x00"), "\x00") {
		name = strings.TrimSuffix(name, "/") // which a repository has that is not a submodule
		if name == "" {
			continue
		}
		// A directory is a repository of its own: a submodule, or one that
		// just stands there. A submodule that was not checked out has no .git.
		sub := filepath.Join(dir, name)
		if info, err := os.Lstat(sub); err == nil && info.IsDir() {
			if _, err := os.Lstat(filepath.Join(sub, ".git")); err == nil {
				below, err := gitNames(ctx, sub, path.Join(prefix, name))
				if err != nil {
					return nil, err
				}
				names = append(names, below...)
			}
			continue
		}
		names = append(names, path.Join(prefix, name))
	}
	return names, nil
}

// exclude takes those of names away that match patterns in the syntax of
// gitignore. It is git itself that matches them, in whatever tree: they become
// the index of an empty repository, below temp.
func exclude(ctx context.Context, names, patterns []string, temp string) ([]string, error) {
	if len(patterns) == 0 || len(names) == 0 {
		return names, nil
	}
	work, err := os.MkdirTemp(temp, "exclude-")
	if err != nil {
		return nil, err
	}
	if _, err := git(ctx, work, nil, "init", "--quiet", "--template="); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("patterns to leave out of a tree need git here: %w", err)
		}
		return nil, err
	}
	const emptyBlob = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
	var index bytes.Buffer
	for _, name := range names {
		_, _ = fmt.Fprintf(&index, "100644 %s 0\t%s\x00", emptyBlob, name)
	}
	if _, err := git(ctx, work, index.Bytes(), "update-index", "-z", "--index-info"); err != nil {
		return nil, err
	}
	args := []string{"ls-files", "-z", "--cached", "--ignored"}
	for _, pattern := range patterns {
		args = append(args, "--exclude="+pattern)
	}
	listed, err := git(ctx, work, nil, args...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]bool)
	for name := range strings.SplitSeq(string(listed), "\x00") {
		out[name] = true
	}
	return slices.DeleteFunc(names, func(name string) bool { return out[name] }), nil
}

// walkNames are the files of a tree that is not git's, without those of version
// control. Directories that can't be read are told of and left out.
func walkNames(ctx context.Context, root string, warn func(string)) ([]string, error) {
	var names []string
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name, relErr := filepath.Rel(root, file)
		switch {
		case err != nil && name == ".":
			return err
		case relErr != nil:
			return relErr
		case err != nil:
			if !errors.Is(err, fs.ErrNotExist) {
				warn(fmt.Sprintf("%q is left out: %v", name, err))
			}
			return nil
		}
		switch d.Name() {
		case ".git", ".hg", ownDir:
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.IsDir() {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}
