package tree

import "slices"

// plan is what the names alone say there is to do.
type plan struct {
	names []string // of the tree, in order
	dirs  []string // above them, parents first
	gone  []string // names of an earlier sync that are not in the tree
	left  []string // directories that this may leave empty, children first
	fresh bool     // whether names are new
}

func newPlan(files []*entry, synced []string) *plan {
	p := &plan{}
	for _, e := range files {
		p.names = append(p.names, e.name)
	}
	p.dirs = parents(p.names)
	for _, name := range synced {
		if _, found := slices.BinarySearch(p.names, name); !found {
			p.gone = append(p.gone, name)
		}
	}
	p.fresh = len(synced)-len(p.gone) < len(p.names)
	p.left = slices.DeleteFunc(parents(p.gone), func(dir string) bool {
		_, found := slices.BinarySearch(p.dirs, dir)
		return found
	})
	slices.Reverse(p.left)
	return p
}

// changed says whether the record there has to change.
func (p *plan) changed() bool { return p.fresh || len(p.gone) > 0 }

// changes are the words for the changeScript that take away what is gone.
func (p *plan) changes() []string {
	var words []string
	for _, name := range p.gone {
		words = append(words, "g"+name)
	}
	for _, dir := range p.left {
		words = append(words, "e"+dir)
	}
	return words
}
