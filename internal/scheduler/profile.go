package scheduler

import "slices"

// profile is what the queue knows of one.
type profile struct {
	name    string
	number  int
	listed  bool // nothing more will be added
	open    int  // items that are neither done nor abandoned, of all segments
	waiting int  // items that nobody has, of all segments
	sent    int  // items that somebody has and has not begun
}

// over says whether nothing of the profile will be handed out any more.
func (p *profile) over() bool { return p.listed && p.waiting == 0 && p.sent == 0 }

// team is the workers that can run the same profiles.
type team struct {
	names  []string // sorted; nil for all
	free   int      // workers that are there and of no profile
	speeds float64  // the sum of the speeds of all that are there
	posts  []post   // by the number of the profile
}

// post is a profile as it concerns a team.
type post struct {
	can     bool    // the team can run it
	workers int     // how many of the team are of it, or leave theirs for it
	coming  int     // how many of these leave theirs
	speed   float64 // the sum of their speeds
	share   float64 // how much of the team's speed it should have; see balance
}

// profile returns the profile of a name.
func (q *Queue) profile(name string) *profile {
	for _, p := range q.profiles {
		if p.name == name {
			return p
		}
	}
	p := &profile{name: name, number: len(q.profiles), listed: q.listed}
	q.profiles = append(q.profiles, p)
	q.balanced.segment = nil
	for _, t := range q.teams {
		t.posts = append(t.posts, post{can: t.names == nil || slices.Contains(t.names, name)})
	}
	return p
}

// team returns the team of the workers that can run profiles of these names.
func (q *Queue) team(names []string) *team {
	if names != nil {
		names = slices.Compact(slices.Sorted(slices.Values(names)))
		if names == nil {
			names = []string{} // none, and not all
		}
	}
	for _, t := range q.teams {
		if (t.names == nil) == (names == nil) && slices.Equal(t.names, names) {
			return t
		}
	}
	t := &team{names: names}
	for _, p := range q.profiles {
		t.posts = append(t.posts, post{can: names == nil || slices.Contains(names, p.name)})
	}
	q.teams = append(q.teams, t)
	return t
}

// Restrict changes which profiles the worker can run, as Options.Profiles would
// answer: one of them has shown that it can't be run there, or that it can. With
// a worker that is of a profile that waits until it is lost.
func (q *Queue) Restrict(worker int, profiles []string) {
	w := q.worker(worker)
	if w == nil {
		return
	}
	w.next = q.team(profiles)
	if w.profile != nil {
		return
	}
	there := w.present
	q.exit(w)
	q.change(w)
	if there {
		q.enter(w)
	}
	q.stale()
}

// change has a worker that is not there be of the team that Restrict has said.
func (q *Queue) change(w *worker) {
	if w.next != nil {
		w.team, w.next = w.next, nil
		q.balanced.segment = nil
	}
}

// can says whether the worker can run the profile.
func (w *worker) can(p *profile) bool { return w.team.posts[p.number].can }

// over says whether nothing of what the worker can run will be handed out any
// more.
func (q *Queue) over(w *worker) bool {
	for _, p := range q.profiles {
		if w.can(p) && !p.over() {
			return false
		}
	}
	return q.listed || w.team.names != nil && q.allListed(w.team.names)
}

// allListed says whether the listings of all these profiles are done.
func (q *Queue) allListed(names []string) bool {
	listed := 0
	for _, p := range q.profiles {
		if p.listed && slices.Contains(names, p.name) {
			listed++
		}
	}
	return listed == len(names)
}

// post is where the worker counts, or nil.
func (w *worker) post() *post {
	switch {
	case w.profile == nil:
		return nil
	case w.to != nil:
		return &w.team.posts[w.to.number]
	}
	return &w.team.posts[w.profile.number]
}

// join has the worker be of a profile.
func (w *worker) join(p *profile) {
	w.profile = p
	w.team.free--
	at := w.post()
	at.workers++
	at.speed += w.speed
}

// leaveFor has the worker be one that is to end for the sake of another profile.
func (w *worker) leaveFor(p *profile) {
	w.post().drop(w)
	w.to = p
	at := w.post()
	at.workers++
	at.coming++
	at.speed += w.speed
}

// quit has the worker be of no profile.
func (w *worker) quit() {
	if w.profile == nil {
		return
	}
	at := w.post()
	at.drop(w)
	if w.to != nil {
		at.coming--
	}
	w.profile, w.to = nil, nil
	w.team.free++
}

func (p *post) drop(w *worker) {
	if p.workers--; p.workers == 0 {
		p.speed = 0
	} else {
		p.speed -= w.speed
	}
}

// faster corrects the sums of speeds by what the worker's has changed by.
func (q *Queue) faster(w *worker, by float64) {
	q.speeds += by
	w.team.speeds += by
	if p := w.post(); p != nil {
		p.speed += by
	}
}

// staff sums over the teams: how many workers are of a profile, how many of
// them are coming to it, how many could be, and the speeds of the first and of all
// that can run it.
func (q *Queue) staff(p *profile) (s staff) {
	for _, t := range q.teams {
		at := &t.posts[p.number]
		s.workers += at.workers
		s.coming += at.coming
		s.speed += at.speed
		if at.can {
			s.free += t.free
			s.potential += t.speeds
		}
	}
	return s
}

type staff struct {
	workers, coming, free int
	speed, potential      float64
}
