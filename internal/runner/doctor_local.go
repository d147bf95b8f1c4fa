package runner

import (
	"context"
	"os"
	"path/filepath"

	"testr/internal/instance"
)

// The names of checks of places that are reached without hooks.
const (
	checkDirectory = "directory"
	checkSetup     = "setup"
)

// examineLocal looks at this machine.
func examineLocal(ctx context.Context, p *patient) {
	if !p.isThere() {
		return
	}
	s := p.session
	a, err := s.get(ctx, s.localGroup(p.conf), nil)
	if err != nil {
		p.problem(checkWorker, "", "", "%v", err)
		return
	}
	at := placeOf(a.places[0].Instance)
	if !p.setsUp(ctx, at) {
		return
	}
	p.works(ctx, at, "")
}

// isThere checks the directory of a section for this machine.
func (p *patient) isThere() bool {
	dir := p.conf.Directory
	if dir == "" {
		return true
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(p.session.req.Config.Root, dir)
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		p.problem(checkDirectory, checkDirectory, "make it, or name another one: a relative one begins where .testr.conf is",
			"%v", err)
	case !info.IsDir():
		p.problem(checkDirectory, checkDirectory, "name a directory", "%s is none", dir)
	default:
		p.ok(checkDirectory, "%s is there", dir)
		return true
	}
	return false
}

// setsUp runs what comes before each command, with one that does nothing.
func (p *patient) setsUp(ctx context.Context, at place) bool {
	if !p.conf.Setup.Set() {
		return true
	}
	r := p.run(ctx, at, instance.Command{Args: []string{"/bin/sh", "-c", ":"}}, nil)
	switch {
	case !r.well():
		p.problem(checkSetup, checkSetup, fixOf(r.err), "%s", r.end())
		return false
	case len(r.stdout.bytes) > 0:
		p.warn(checkSetup, checkSetup, "send that to standard error: put >&2 behind it",
			"it prints to where the packets of workers go%s", saying(string(r.stdout.bytes)))
	default:
		p.ok(checkSetup, "it succeeds, in %s", short(r.took))
	}
	return true
}
