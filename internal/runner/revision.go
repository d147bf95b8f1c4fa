package runner

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// revisionTimeout is how long git may take to tell of the tree. A run that doesn't
// know its revision is still a run.
const revisionTimeout = 5 * time.Second

// revision is what is under test, as far as git knows.
type revision struct {
	id    string // of the commit; empty if there is none, or no git
	dirty bool   // files that git tracks are not as in the commit
}

// askRevision begins to find out the revision of a directory, and returns a
// function that waits for that. It has to be called once.
func askRevision(ctx context.Context, dir string) (wait func() revision) {
	found := make(chan revision, 1)
	go func() { found <- findRevision(ctx, dir) }()
	return func() revision { return <-found }
}

// findRevision asks git. What git doesn't track makes no difference, as in git
// describe --dirty: a repository of ours is that, as a rule.
func findRevision(ctx context.Context, dir string) revision {
	ctx, cancel := context.WithTimeout(ctx, revisionTimeout)
	defer cancel()
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		// git would write to its index, only to be faster the next time.
		cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0")
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	id, err := git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if err != nil || id == "" {
		return revision{}
	}
	changes, err := git("status", "--porcelain", "--untracked-files=no")
	return revision{id: id, dirty: err != nil || changes != ""}
}

// userName is the name of a user, or the number where nobody knows a name.
func userName(uid int) string {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil || u.Username == "" {
		return strconv.Itoa(uid)
	}
	return u.Username
}
