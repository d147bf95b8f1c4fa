package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestExample: the annotated example can be used as it is, and so can all that stands
// in it as a comment; it has every option and every worker.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../../.testr.conf.example")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	all := regexp.MustCompile(`(?m)^#(\[|[a-z])`).ReplaceAllString(text, "$1")
	for _, option := range []string{"parallel_class", "worker_command"} { // they don't go with others in it
		all = strings.Replace(all, "\n"+option+"=", "\n#"+option+"=", 1)
	}
	for name, text := range map[string]string{"as it is": text, "all of it": all} {
		c, err := loadText(t, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, w := range c.Warnings {
			t.Errorf("%s: %v", name, w)
		}
	}
	names := slices.Clone(options)
	for _, o := range instanceOptions {
		names = append(names, o.name)
	}
	for _, option := range names {
		if !regexp.MustCompile(`(?m)^#?` + option + `=`).MatchString(text) {
			t.Errorf("it has nothing of %s", option)
		}
	}
	for _, worker := range workers {
		if !regexp.MustCompile(`(?m)^#   ` + worker + ` `).MatchString(text) {
			t.Errorf("it has nothing of worker=%s", worker)
		}
	}
}
