package runner

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Partition is one of several parts of all tests that have none in common. Where
// a test belongs depends on its group or, if it has none, on its id, and on
// nothing else. The zero value has all tests.
type Partition struct {
	K, N int // the K-th, from 1, of N
}

// errPartition says what a partition looks like.
var errPartition = errors.New("want K/N, such as 1/3 for the first of three")

// ParsePartition reads K/N.
func ParsePartition(s string) (Partition, error) {
	first, second, _ := strings.Cut(s, "/")
	k, err := strconv.Atoi(first)
	n, err2 := strconv.Atoi(second)
	switch {
	case err != nil || err2 != nil || n < 1:
		return Partition{}, errPartition
	case k < 1 || k > n:
		return Partition{}, fmt.Errorf("the first number has to be one from 1 to %d", n)
	}
	return Partition{k, n}, nil
}

// String is the partition as a person writes it.
func (p Partition) String() string { return fmt.Sprintf("%d/%d", p.K, p.N) }

// has reports whether the tests with this group, or this one test, are in the
// partition.
func (p Partition) has(key string) bool {
	if p.N == 0 {
		return true
	}
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])%uint64(p.N) == uint64(p.K-1)
}

// of returns those of the ids that are in the partition, in their order.
func (p Partition) of(ids []string, group func(string) string) []string {
	if p.N == 0 {
		return ids
	}
	var out []string
	for _, id := range ids {
		key := group(id)
		if key == "" {
			key = id
		}
		if p.has(key) {
			out = append(out, id)
		}
	}
	return out
}

// shuffle returns the ids in an order that depends on them and on the seed
// alone. The tests of a group stay together.
func shuffle(ids []string, group func(string) string, seed uint64) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	var groups [][]string
	known := map[string]int{}
	for _, id := range ids {
		key := group(id)
		at, ok := known[key]
		if !ok || key == "" {
			at = len(groups)
			known[key] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], id)
	}
	random := rand.NewPCG(seed, 0)
	mix(groups, random)
	ids = ids[:0]
	for _, g := range groups {
		mix(g, random)
		ids = append(ids, g...)
	}
	return ids
}

// mix is Fisher's and Yates's shuffle. It is not that of math/rand, which may
// change with Go's version: a seed that somebody noted down has to mean the same
// next year.
func mix[T any](s []T, random *rand.PCG) {
	for i := len(s) - 1; i > 0; i-- {
		j, _ := bits.Mul64(random.Uint64(), uint64(i+1))
		s[i], s[j] = s[j], s[i]
	}
}
