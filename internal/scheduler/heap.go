package scheduler

// mover is what a heap can hold: something that knows where in it it stands.
type mover interface {
	// moved is told the index whenever that changes, and none when it leaves.
	moved(int)
}

// node is something in a heap with the key that it stands there by. No two
// keys in a heap are equal.
type node[T mover] struct {
	key uint64
	of  T
}

// heap has what has the smallest key at index 0. Keys lie in the heap itself,
// so that comparing reads no memory elsewhere, and four children to a node make
// it half as deep as two.
type heap[T mover] []node[T]

const fan = 4

func (h *heap[T]) push(key uint64, x T) {
	*h = append(*h, node[T]{key, x})
	h.up(len(*h) - 1)
}

// remove takes out what is at index i.
func (h *heap[T]) remove(i int) {
	last := len(*h) - 1
	out := (*h)[i].of
	moved := (*h)[last]
	(*h)[last] = node[T]{}
	*h = (*h)[:last]
	if i < last {
		old := (*h)[i].key
		(*h)[i] = moved
		h.settle(i, old)
	}
	out.moved(none)
}

// set gives what is at index i another key.
func (h *heap[T]) set(i int, key uint64) {
	old := (*h)[i].key
	if old == key {
		return
	}
	(*h)[i].key = key
	h.settle(i, old)
}

// settle moves what is at index i, where the key was old, to where it belongs.
func (h *heap[T]) settle(i int, old uint64) {
	if (*h)[i].key < old {
		h.up(i)
	} else {
		h.down(i)
	}
}

func (h *heap[T]) up(i int) {
	s := *h
	x := s[i]
	for i > 0 {
		parent := (i - 1) / fan
		if s[parent].key <= x.key {
			break
		}
		s[i] = s[parent]
		s[i].of.moved(i)
		i = parent
	}
	s[i] = x
	x.of.moved(i)
}

func (h *heap[T]) down(i int) {
	s := *h
	x := s[i]
	for {
		first := fan*i + 1
		if first >= len(s) {
			break
		}
		child := first
		for c := first + 1; c < min(first+fan, len(s)); c++ {
			if s[c].key < s[child].key {
				child = c
			}
		}
		if x.key <= s[child].key {
			break
		}
		s[i] = s[child]
		s[i].of.moved(i)
		i = child
	}
	s[i] = x
	x.of.moved(i)
}

// refs is a heap of bare keys, the smallest first.
type refs []uint64

func (h *refs) push(key uint64) {
	s := append(*h, key)
	i := len(s) - 1
	for i > 0 {
		parent := (i - 1) / fan
		if s[parent] <= key {
			break
		}
		s[i] = s[parent]
		i = parent
	}
	s[i] = key
	*h = s
}

// pop drops the first key.
func (h *refs) pop() {
	last := len(*h) - 1
	key := (*h)[last]
	s := (*h)[:last]
	*h = s
	if last == 0 {
		return
	}
	i := 0
	for {
		first := fan*i + 1
		if first >= last {
			break
		}
		child := first
		for c := first + 1; c < min(first+fan, last); c++ {
			if s[c] < s[child] {
				child = c
			}
		}
		if key <= s[child] {
			break
		}
		s[i] = s[child]
		i = child
	}
	s[i] = key
}
