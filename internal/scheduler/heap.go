package scheduler

import (
	"cmp"
	"slices"
)

// heap has what has the smallest key in front. No two keys in a heap are equal.
// Keys lie in the heap itself, so that comparing reads no memory elsewhere, and
// four children to a node make it half as deep as two.
type heap[E interface{ key() uint64 }] []E

const fan = 4

func (h *heap[E]) push(x E) {
	s := append(*h, x)
	i := len(s) - 1
	for i > 0 {
		parent := (i - 1) / fan
		if s[parent].key() <= x.key() {
			break
		}
		s[i] = s[parent]
		i = parent
	}
	s[i] = x
	*h = s
}

// pop drops what is in front.
func (h *heap[E]) pop() {
	last := len(*h) - 1
	x := (*h)[last]
	var zero E
	(*h)[last] = zero
	s := (*h)[:last]
	*h = s
	if last == 0 {
		return
	}
	i := 0
	for {
		first := fan*i + 1
		if first >= len(s) {
			break
		}
		child, least := first, s[first].key()
		for c := first + 1; c < min(first+fan, len(s)); c++ {
			if k := s[c].key(); k < least {
				child, least = c, k
			}
		}
		if x.key() <= least {
			break
		}
		s[i] = s[child]
		i = child
	}
	s[i] = x
}

// ref is an entry or something else of a number, in a heap.
type ref uint64

func (r ref) key() uint64 { return uint64(r) }

// refTo returns a ref that has the highest rank come first, and of equals what
// has the lowest number.
func refTo(r rank, number int32) ref { return ref(highest-r)<<32 | ref(number) }

func (r ref) number() int32 { return int32(r) }

// refs is a heap of refs.
type refs = heap[ref]

// pile is a heap of things that change their keys. One that has got another key
// is put in again, and what is in the pile under a key that it no longer has is
// dropped when it comes to the front. So nothing has to know where in the heap it
// stands, which with a million things would be ten writes all over the memory
// for each that moves.
type pile[T interface{ place() uint64 }] struct {
	nodes heap[node[T]]
	size  int // how many things are in it
}

type node[T any] struct {
	at uint64
	of T
}

func (n node[T]) key() uint64 { return n.at }

// nowhere is the key of what is in no pile.
const nowhere = ^uint64(0)

// put notes that something has a key now that it had not before.
func (p *pile[T]) put(x T) {
	p.nodes.push(node[T]{x.place(), x})
	if len(p.nodes) > 2*p.size+16 {
		p.sweep()
	}
}

// sweep drops what is in the pile under old keys, and what is in it twice, since
// it got an old key again.
func (p *pile[T]) sweep() {
	p.nodes = slices.DeleteFunc(p.nodes, func(n node[T]) bool { return n.of.place() != n.at })
	slices.SortFunc(p.nodes, func(m, n node[T]) int { return cmp.Compare(m.at, n.at) })
	p.nodes = slices.CompactFunc(p.nodes, func(m, n node[T]) bool { return m.at == n.at })
}

// front returns what has the smallest key.
func (p *pile[T]) front() (x T, ok bool) {
	for len(p.nodes) > 0 {
		if n := p.nodes[0]; n.of.place() == n.at {
			return n.of, true
		}
		p.nodes.pop()
	}
	return x, false
}
