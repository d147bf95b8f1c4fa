package config

import (
	"strings"
	"testing"
	"time"
)

// TestInstanceIdle: the option's values, and what is none.
func TestInstanceIdle(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
	}{
		{"", 10 * time.Minute},
		{"instance_idle=0\n", 0},
		{"instance_idle=90\n", 90 * time.Second},
		{"instance_idle=1h\n", time.Hour},
	} {
		got, err := loadText(t, "[DEFAULT]\ntest_command=x\n"+c.text)
		if err != nil || got.InstanceIdle != c.want || len(got.Warnings) > 0 {
			t.Errorf("%q: got %v, %v with %v; want %v", c.text, got.InstanceIdle, err, got.Warnings, c.want)
		}
	}
	_, err := loadText(t, "[DEFAULT]\ninstance_idle=-1\n")
	if err == nil || !strings.Contains(err.Error(), "instance_idle") {
		t.Errorf("got %v; want an error about instance_idle", err)
	}
}
