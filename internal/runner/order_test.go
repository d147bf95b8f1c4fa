package runner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func alone(string) string { return "" }

// byClass groups by what stands before the dot.
func byClass(id string) string {
	class, _, _ := strings.Cut(id, ".")
	return class
}

func TestParsePartition(t *testing.T) {
	tests := []struct {
		text string
		want Partition
		err  string
	}{
		{"1/1", Partition{1, 1}, ""},
		{"3/3", Partition{3, 3}, ""},
		{"0/3", Partition{}, `the first number has to be one from 1 to 3`},
		{"4/3", Partition{}, `the first number has to be one from 1 to 3`},
		{"-1/3", Partition{}, `the first number has to be one from 1 to 3`},
		{"x", Partition{}, `want K/N, such as 1/3 for the first of three`},
		{"1", Partition{}, `want K/N, such as 1/3 for the first of three`},
		{"1/0", Partition{}, `want K/N, such as 1/3 for the first of three`},
		{"1/2/3", Partition{}, `want K/N, such as 1/3 for the first of three`},
		{"", Partition{}, `want K/N, such as 1/3 for the first of three`},
	}
	for _, test := range tests {
		got, err := ParsePartition(test.text)
		if got != test.want || (test.err == "") != (err == nil) || err != nil && err.Error() != test.err {
			t.Errorf("%q: got %v, %v; want %v, %s", test.text, got, err, test.want, test.err)
		}
		if err == nil && got.String() != test.text {
			t.Errorf("got %q; want %q", got, test.text)
		}
	}
	if _, err := ParsePartition("x"); !errors.Is(err, errPartition) {
		t.Errorf("got %v; want %v", err, errPartition)
	}
}

// TestPartition: every test is in one partition, groups are whole, no partition
// is much larger than others, and tests that are added move no others.
func TestPartition(t *testing.T) {
	const parts = 4
	var ids []string
	for i := range 4000 {
		ids = append(ids, fmt.Sprintf("c%d.test_%d", i/10, i))
	}
	for name, group := range map[string]func(string) string{"alone": alone, "by class": byClass} {
		where := map[string]int{}
		for k := 1; k <= parts; k++ {
			got := Partition{k, parts}.of(ids, group)
			if len(got) < 700 || len(got) > 1300 || !slices.IsSortedFunc(got, func(a, b string) int {
				return slices.Index(ids, a) - slices.Index(ids, b)
			}) {
				t.Errorf("%s: got %d tests in partition %d; want about 1000, in their order", name, len(got), k)
			}
			for _, id := range got {
				where[id] = k
			}
			if some := (Partition{k, parts}).of(ids[:100], group); !slices.Equal(some, got[:len(some)]) {
				t.Errorf("%s: got %q of fewer tests; want the same in the same partition", name, some)
			}
		}
		if len(where) != len(ids) {
			t.Errorf("%s: got %d tests in partitions; want each in one", name, len(where))
		}
		for i := range ids {
			if first := i - i%10; group(ids[i]) != "" && where[ids[i]] != where[ids[first]] {
				t.Errorf("%s: got %s and %s in different partitions", name, ids[i], ids[first])
			}
		}
	}
	if got := (Partition{}).of(ids, alone); len(got) != len(ids) {
		t.Errorf("got %d tests of the zero partition; want all", len(got))
	}
}

// TestPartitionStays: which tests are in a partition is the same for all who run
// a part each, whatever version they have.
func TestPartitionStays(t *testing.T) {
	ids := []string{"a.one", "a.two", "b.one", "b.two", "c.one"}
	want := [][]string{{"a.two", "c.one"}, {"a.one"}, {"b.one", "b.two"}}
	var got [][]string
	for k := 1; k <= 3; k++ {
		got = append(got, Partition{k, 3}.of(ids, alone))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("partitions differ (-want +got):\n%s", diff)
	}
}

func TestShuffle(t *testing.T) {
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprintf("c%d.test_%d", i/10, i))
	}
	backwards := slices.Clone(ids)
	slices.Reverse(backwards)
	for name, group := range map[string]func(string) string{"alone": alone, "by class": byClass} {
		got := shuffle(ids, group, 7)
		if !slices.Equal(got, shuffle(backwards, group, 7)) {
			t.Errorf("%s: got another order of what was listed in another one", name)
		}
		if slices.Equal(got, shuffle(ids, group, 8)) {
			t.Errorf("%s: got the same order with another seed", name)
		}
		left := map[string]int{} // where a group ended
		for i, id := range got {
			if g := group(id); g != "" && i > 0 && group(got[i-1]) != g {
				if at, ok := left[g]; ok {
					t.Errorf("%s: got %s at %d, and its group before, at %d", name, id, i, at)
				}
			}
			left[group(id)] = i
		}
		first, second := slices.Clone(got[:10]), slices.Clone(got[:10])
		slices.Sort(second)
		if slices.Equal(first, second) {
			t.Errorf("%s: got %q; want them shuffled", name, first)
		}
		slices.Sort(got)
		slices.Sort(backwards)
		if !slices.Equal(got, backwards) {
			t.Errorf("%s: got %q; want all that were given", name, got)
		}
	}
}

// TestSeedStays: a seed that was noted down means the same in every version.
func TestSeedStays(t *testing.T) {
	got := shuffle([]string{"a.one", "a.two", "b.one", "b.two", "c"}, alone, 12345)
	if diff := cmp.Diff([]string{"b.one", "a.two", "a.one", "b.two", "c"}, got); diff != "" {
		t.Errorf("order differs (-want +got):\n%s", diff)
	}
	got = shuffle([]string{"a.one", "a.two", "b.one", "b.two", "c.one"}, byClass, 12)
	if diff := cmp.Diff([]string{"a.two", "a.one", "c.one", "b.two", "b.one"}, got); diff != "" {
		t.Errorf("order of groups differs (-want +got):\n%s", diff)
	}
}
