package event

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"testr/internal/protocol"
)

// S21: tests with 10,000 tags, or endless routes, keep little of them, and say
// that there was more.
func TestKept(t *testing.T) {
	tags := func(n, length int) (tags []string) {
		for i := range n {
			tags = append(tags, strings.Repeat("0", length-4)+fmt.Sprintf("%04d", i))
		}
		return tags
	}
	for _, c := range []struct {
		name string
		tags []string
		want []string
	}{
		{"none", nil, nil},
		{"as many as are kept", tags(64, 4), tags(64, 4)},
		{"one more", tags(65, 4), append(tags(64, 4), "(1 more tags)")},
		{"10,000", tags(10000, 4), append(tags(64, 4), "(9936 more tags)")},
		{"as long as are kept", tags(2, 512), tags(2, 512)},
		{"longer", tags(2, 513), append(tags(1, 513), "(1 more tags)")},
		{"a single one", tags(1, 1<<20), []string{"(1 more tags)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := fold(tagged(status("a", protocol.StatusSuccess, 1), c.tags...)).Get("", "a").Tags
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	e := status("a", protocol.StatusSuccess, 1)
	e.Packet.Has |= protocol.HasRoute
	e.Packet.Route = strings.Repeat("ü", 1<<20)
	if got := fold(e).Get("", "a").Route; len(got) > 300 || !strings.HasSuffix(got, "…") || !utf8.ValidString(got) {
		t.Errorf("got a route of %d bytes; want its first ones", len(got))
	}
	if got := fold(asked("a"), notRun(strings.Repeat("x", 1<<20), "a")).Get("", "a").NotRun; len(got) > 1100 {
		t.Errorf("got a reason of %d bytes; want its first ones", len(got))
	}
	if e.Packet.Route = "0/1"; fold(e).Get("", "a").Route != "0/1" {
		t.Errorf("got route %q; want 0/1", fold(e).Get("", "a").Route)
	}
}
