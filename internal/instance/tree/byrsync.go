package tree

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"testr/internal/instance"
)

// rsyncHost stands for the instance in rsync's arguments.
const rsyncHost = "instance"

// rsyncOptions are how rsync brings the files that its input names.
//
// It compares content (--checksum): size and time are the same when a checkout
// changed a file within the same tick, or a file was put in the place of another
// with its time. Its temporary files stand where the next sync removes what a
// killed one left. What it did is told without names.
var rsyncOptions = []string{
	"--protect-args", "--files-from=-", "--from0", "--ignore-missing-args",
	"--checksum", "--links", "--times", "--omit-dir-times", "--omit-link-times",
	"--executability", "--chmod=Du+rwx,Fu+rw",
	"--temp-dir=.testr/sync/tmp", "--out-format=%i %l",
}

// The exit statuses of rsync that need to be told apart.
const (
	rsyncVanished = 24 // files went while it was at work
)

// rsyncUnable are the exit statuses of an rsync that could not begin, because
// the two don't get along or one is not what it seems.
var rsyncUnable = []int{1, 2, 4, 5, 12, 13, 14, 126, 127}

// unableError says that rsync can't be used; tar may be.
type unableError struct{ err error }

// Error says why.
func (e *unableError) Error() string { return e.err.Error() }

// Unwrap returns why.
func (e *unableError) Unwrap() error { return e.err }

// byRsync has rsync bring what differs.
func (s *syncer) byRsync(ctx context.Context, p *plan) error {
	if err := s.there.change(ctx, p.changes()); err != nil {
		return err
	}
	s.meter.now.AllFiles = len(s.files)
	for _, e := range s.files {
		s.meter.now.AllBytes += e.size
	}
	if len(s.files) == 0 {
		return nil
	}
	b, err := s.there.listen(ctx, s.temp)
	if err != nil {
		return &unableError{fmt.Errorf("make a socket for it: %w", err)}
	}
	var names []byte
	for _, name := range p.names { // a name that begins with # would be a comment
		names = append(append(append(names, "./"...), name...), 0)
	}
	code, stderr, err := s.runRsync(ctx, b.listener.Addr().String(), names)
	thereErr := b.close()
	var lost *instance.LostError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(thereErr, &lost):
		return fmt.Errorf("rsync: %w", thereErr)
	case err != nil:
		return &unableError{err}
	case code == rsyncVanished:
		s.warn("files have gone while the tree was brought")
		return nil
	case code == 0:
		return nil
	}
	err = fmt.Errorf("rsync: exit status %d%s", code, explain(stderr))
	if thereErr != nil {
		err = fmt.Errorf("%w; rsync there: %w", err, thereErr)
	}
	if slices.Contains(rsyncUnable, code) {
		return &unableError{err}
	}
	return err
}

// runRsync runs rsync here, and counts what it sends. The error means that it
// did not run; its process group has ended.
func (s *syncer) runRsync(ctx context.Context, socket string, names []byte) (int, *instance.Tail, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args := append(slices.Clone(rsyncOptions), "--rsh="+quoteRsh(append(slices.Clone(s.options.Rsh), socket)),
		"--", s.root+"/", rsyncHost+":.")
	cmd := exec.CommandContext(ctx, "rsync", args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "RSYNC_") // other options
	})
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	stderr := &instance.Tail{}
	cmd.Stdin, cmd.Stderr = bytes.NewReader(names), stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, stderr, err
	}
	if err := cmd.Start(); err != nil {
		return 0, stderr, err
	}
	s.countRsync(stdout)
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), stderr, nil
	}
	return 0, stderr, err
}

// countRsync reads what rsync says that it does: for each file eleven letters,
// and its size. The first two say whether it is sent, the sixth whether it
// becomes executable or ceases to be.
func (s *syncer) countRsync(stdout io.Reader) {
	for r := bufio.NewReader(stdout); ; {
		line, err := readLine(r)
		if err != nil {
			_, _ = io.Copy(io.Discard, r)
			return
		}
		does, size, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(does, "<f"):
			n, _ := strconv.ParseInt(size, 10, 64)
			s.stats.Sent++
			s.stats.Bytes += n
			s.meter.add(1, n)
		case strings.HasPrefix(does, "cL"), strings.HasPrefix(does, ".f") && len(does) > 5 && does[5] == 'p':
			s.stats.Sent++
			s.meter.add(1, 0)
		}
	}
}

// quoteRsh writes a command so that rsync's -e takes it apart into these words
// again: at spaces, with quotes, a quote inside of them doubled.
func quoteRsh(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "'" + strings.ReplaceAll(word, "'", "''") + "'"
	}
	return strings.Join(quoted, " ")
}
