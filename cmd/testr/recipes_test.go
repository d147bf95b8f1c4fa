package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// examples is where the recipes are, as seen from this package.
const examples = repositoryRoot + "/examples/instances"

// copyRecipe brings a recipe of examples/instances into a project, as
// docs/instances says: its .testr.conf, and its scripts below ci.
func copyRecipe(tb testing.TB, name, dir string) {
	tb.Helper()
	from, to := filepath.Join(examples, name), filepath.Join(dir, "ci", name)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(filepath.Join(to, ".testr.conf"), filepath.Join(dir, ".testr.conf")); err != nil {
		tb.Fatal(err)
	}
}

// TestRecipesAgree: what execute does is the same for all engines, but for how
// it gets to one.
func TestRecipesAgree(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(examples, "*/execute"))
	if err != nil || len(scripts) < 6 {
		t.Fatalf("got %q, %v; want six scripts at least", scripts, err)
	}
	want := ""
	for _, script := range scripts {
		_, common, ok := strings.Cut(readDocument(t, script), "\n# What follows is the same for all engines.\n")
		switch {
		case !ok:
			t.Errorf("%s doesn't say what is the same for all engines", script)
		case want == "":
			want = common
		case common != want:
			t.Errorf("%s does not do the same as %s", script, scripts[0])
		}
	}
}
