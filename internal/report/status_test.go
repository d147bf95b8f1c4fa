package report

import (
	"strings"
	"testing"
	"time"
)

func TestStatusLine(t *testing.T) {
	now := time.Unix(10000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	two := []Running{
		{Test: "pkg.mod.Class.test_young", Route: "0", Since: ago(time.Second)},
		{Test: "pkg.mod.Class.test_old", Route: "1/0", Since: ago(75 * time.Second)},
	}
	for _, tt := range []struct {
		name   string
		status Status
		want   string
	}{
		{"begin", Status{}, "0 done, 0 failed, 0 running"},
		{"total unknown", Status{Done: 12, Running: two},
			"12 done, 0 failed, 2 running; 1m15s 1/0: pkg.mod.Class.test_old"},
		{"all", Status{Done: 12, Failed: 3, Total: 16636, Left: 2*time.Hour + 5*time.Minute, Width: 100, Running: two},
			"12/16636 done, 3 failed, 2 running, 2h05m left; 1m15s 1/0: pkg.mod.Class.test_old"},
		{"the end of the id", Status{Done: 1, Total: 2, Running: two, Width: 60},
			"1/2 done, 0 failed, 2 running; 1m15s 1/0: ...Class.test_old"},
		{"too narrow for an id", Status{Done: 1, Total: 2, Running: two, Width: 20}, "1/2 done, 0 failed,"},
		{"no room for what is left", Status{Done: 1, Total: 2, Left: time.Hour, Running: two, Width: 55},
			"1/2 done, 0 failed, 2 running; 1m15s 1/0: ....test_old"},
		{"no room for an id", Status{Done: 1, Total: 2, Left: 5 * time.Second, Running: two, Width: 40},
			"1/2 done, 0 failed, 2 running, 5s left"},
		{"one column", Status{Width: 1}, ""},
		{"clock set back", Status{Running: []Running{{Test: "a", Since: ago(-time.Hour)}}},
			"0 done, 0 failed, 1 running; 0s a"},
		{"wide", Status{Running: []Running{{Test: strings.Repeat("漢", 20), Since: now}}, Width: 50},
			"0 done, 0 failed, 1 running; 0s ..." + strings.Repeat("漢", 7)},
		{"escaped", Status{Running: []Running{{Test: "a\x1b[2J\n", Route: "\r", Since: now}}},
			`0 done, 0 failed, 1 running; 0s \r: a\x1b[2J\n`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := statusLine(now, tt.status)
			if got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
			width := tt.status.Width
			if width == 0 {
				width = 80
			}
			if n := columns(got); n >= width {
				t.Errorf("got %d columns; want fewer than %d", n, width)
			}
		})
	}
}

func TestColumns(t *testing.T) {
	for s, want := range map[string]int{
		"": 0, "abc": 3, "é": 1, "e\u0301": 1, "ж": 1, "漢字": 4, "ｆ": 2, "한": 2, "🙂": 2, "❤\ufe0f": 3, "𠀋": 2,
	} {
		if got := columns(s); got != want {
			t.Errorf("columns(%q): got %d; want %d", s, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in          string
		width       int
		right, left string
	}{
		{"abcdef", 6, "abcdef", "abcdef"},
		{"abcdef", 5, "abcde", "...ef"},
		{"abcdef", 3, "abc", "..."},
		{"abcdef", 0, "", ""},
		{"abcdef", -1, "", ""},
		{"漢字漢字", 7, "漢字漢", "...漢字"},
		{"漢字漢字", 6, "漢字漢", "...字"},
	} {
		if got := cutRight(tt.in, tt.width); got != tt.right {
			t.Errorf("cutRight(%q, %d): got %q; want %q", tt.in, tt.width, got, tt.right)
		}
		if got := cutLeft(tt.in, tt.width); got != tt.left {
			t.Errorf("cutLeft(%q, %d): got %q; want %q", tt.in, tt.width, got, tt.left)
		}
	}
}
