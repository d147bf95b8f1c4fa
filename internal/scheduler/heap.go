package scheduler

// ordered is what a heap can hold.
type ordered[T any] interface {
	// before says which of two comes out first. No two are equal.
	before(T) bool
	// moved is told the item's index whenever that changes, and -1 when the
	// item leaves the heap.
	moved(int)
}

// heap is a binary heap: the item that comes out first is at index 0. Unlike
// container/heap it puts no value into an interface, which for a million refs
// is a million allocations.
type heap[T ordered[T]] []T

func (h *heap[T]) push(x T) {
	*h = append(*h, x)
	x.moved(len(*h) - 1)
	h.up(len(*h) - 1)
}

// remove takes out the item at index i.
func (h *heap[T]) remove(i int) {
	last := len(*h) - 1
	gone := (*h)[i]
	h.swap(i, last)
	var zero T
	(*h)[last] = zero
	*h = (*h)[:last]
	if i < last {
		h.fix(i)
	}
	gone.moved(-1)
}

// fix puts the item at index i where it belongs after its order changed.
func (h *heap[T]) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

// build makes a heap of items in any order.
func (h *heap[T]) build() {
	for i := len(*h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *heap[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !(*h)[i].before((*h)[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *heap[T]) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(*h) {
			return moved
		}
		if right := child + 1; right < len(*h) && (*h)[right].before((*h)[child]) {
			child = right
		}
		if !(*h)[child].before((*h)[i]) {
			return moved
		}
		h.swap(i, child)
		i, moved = child, true
	}
}

func (h *heap[T]) swap(i, j int) {
	if i == j {
		return
	}
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].moved(i)
	s[j].moved(j)
}
