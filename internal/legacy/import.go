package legacy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"testr/internal/event"
	"testr/internal/repo"
)

// ErrOwnRuns says that the repository has runs of its own already, before which
// the runs of an older tool can't come any more.
var ErrOwnRuns = errors.New("the repository has runs that come from elsewhere")

// Result is what Import did.
type Result struct {
	Runs    int // that were imported
	Known   int // that were there already
	Passed  int // that are not there, and stand before one that is: they were left out, or removed since
	LeftOut int // that could not be read, or not as a whole
	Failing int // tests that fail now
}

// importCommand begins the command of a run that was imported; its directory and
// its number there follow. So a repository knows which ones it has.
const importCommand = "import"

// Import stores all runs of a directory in r, in their order, and makes the
// failing set of the default profile the directory's. Its durations come
// from the directory's database, if that can be read, else from the runs.
//
// Each run becomes visible as a whole when it is stored. An import that was cut short goes
// on when it is begun again, and one that is begun again after its end does nothing: runs
// that are there are not stored twice, and one that is there in part is stored
// anew.
//
// What can't be read is told to warn, and left out. An error says that the import ended
// early: ctx ended, with its cause, something could not be stored, or r has other runs.
func Import(ctx context.Context, r *repo.Repository, d *Directory, warn func(error)) (Result, error) {
	im := importer{repo: r, dir: d, name: storedPath(d.Path), warn: warn}
	err := im.runs(ctx)
	if err == nil && im.result.Runs+im.result.Known+im.result.Passed > 0 && !im.foreign {
		err = im.adopt(ctx)
	}
	if err != nil {
		err = fmt.Errorf("import %s: %w", d.Path, err)
	}
	return im.result, err
}

type importer struct {
	repo *repo.Repository
	dir  *Directory
	name string // of dir, in the commands of its runs
	warn func(error)

	there   map[int]bool // runs of the directory that the repository has
	highest int          // the highest of these, or -1
	foreign bool         // the repository has other runs
	result  Result
}

// runs imports the runs that are not there yet.
func (im *importer) runs(ctx context.Context) error {
	if err := im.recall(); err != nil {
		return err
	}
	runs, err := im.dir.Runs()
	if err != nil {
		return err
	}
	for _, n := range runs {
		switch {
		case im.there[n]:
			im.result.Known++
			continue
		case n < im.highest:
			im.result.Passed++
			continue
		case im.foreign:
			return ErrOwnRuns
		}
		if err := im.run(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// recall finds out which runs of the directory the repository has. If the last run is
// one of them that was cut short, it is removed.
func (im *importer) recall() error {
	infos, err := im.repo.Runs()
	if err != nil {
		return err //nolint:wrapcheck // it says what it is about
	}
	im.there, im.highest = map[int]bool{}, -1
	for i, info := range infos {
		n, ok := im.number(info)
		switch {
		case !ok:
			im.foreign = true
			continue
		case info.State == repo.Interrupted && i == len(infos)-1:
			if err := im.repo.Remove(info.ID); err != nil {
				return err //nolint:wrapcheck // likewise
			}
			continue
		}
		im.there[n] = true
		im.highest = max(im.highest, n)
	}
	return nil
}

// number returns the number that a run has in the directory, if it comes from
// there.
func (im *importer) number(info repo.RunInfo) (n int, ok bool) {
	c := info.Command
	if len(c) != 3 || c[0] != importCommand || c[1] != im.name {
		return 0, false
	}
	n, err := strconv.Atoi(c[2])
	return n, err == nil
}

// storedPath is a form of an absolute path that can be stored as text, and is no other
// path's: itself if it is UTF-8, else a literal of Go.
func storedPath(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	return strconv.Quote(path)
}

// run imports one run. The error is about storing it, or the end of ctx.
func (im *importer) run(ctx context.Context, n int) error {
	name := strconv.Itoa(n)
	s, err := im.dir.openStream(ctx, name, maxStream)
	if err != nil {
		im.leaveOut(n, err)
		return nil
	}
	defer s.close()
	p, err := s.next()
	start := s.modified
	if err == nil {
		start = p.Time
	}
	// Whether a run was a partial one was not noted. One that is only adds to the
	// failing set and takes from it, which adopt makes right.
	command := []string{importCommand, im.name, name}
	w, begin := im.repo.Begin(repo.RunInfo{Start: start, Partial: true, Command: command})
	if begin != nil {
		return begin //nolint:wrapcheck // it says what it is about
	}
	end := repo.End{State: repo.Finished, Time: start}
	for ; err == nil; p, err = s.next() {
		if p.Time.After(end.Time) {
			end.Time = p.Time
		}
		e := event.Event{Kind: event.KindPacket, Time: p.Time, Worker: event.NoWorker, Packet: p}
		if err := w.Event(e); err != nil {
			break // so does Close
		}
	}
	whole := err == nil || errors.Is(err, io.EOF)
	if !whole {
		end.State, end.Why = repo.Interrupted, err.Error()
	}
	if _, err := w.Close(end); err != nil {
		return err //nolint:wrapcheck // it says what it is about
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !whole:
		im.leaveOut(n, fmt.Errorf("only its beginning was imported: %w", err))
	default:
		im.result.Runs++
	}
	return nil
}

func (im *importer) leaveOut(n int, err error) {
	im.result.LeftOut++
	im.warn(fmt.Errorf("run %d of %s: %w", n, im.dir.Path, err))
}

// adopt makes failing set and durations those of the directory.
func (im *importer) adopt(ctx context.Context) error {
	failing, err := im.dir.failingTests(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		im.warn(fmt.Errorf("the failing set is worked out from the runs: %w", err))
		if failing, err = im.failing(); err != nil {
			return err
		}
	}
	timing, err := im.dir.timing(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		im.warn(fmt.Errorf("durations are those of the runs: %w", err))
		timing = nil
	}
	im.result.Failing = len(failing)
	return im.repo.Adopt(repo.DefaultProfile, failing, reasonGone, timing) //nolint:wrapcheck // it says what it is about
}

// failing returns the ids of the tests that fail by what the repository has.
func (im *importer) failing() (ids []string, err error) {
	entries, err := im.repo.Failing(repo.DefaultProfile)
	for _, f := range entries {
		ids = append(ids, f.ID)
	}
	return ids, err //nolint:wrapcheck // it says what it is about
}

// reasonGone is the reason of tests that fail by the directory's record and of
// which no run is there.
const reasonGone = "it fails, and the run that says so was not there to be imported"
