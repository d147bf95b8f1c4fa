//go:build peers

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestDocumentedRecipes runs what the pages of docs/instances show, on the engines
// that are here.
func TestDocumentedRecipes(t *testing.T) {
	t.Parallel()
	for _, start := range []func(testing.TB) *engine{slurmEngine, podmanEngine, sshEngine} {
		e := start(t)
		testRecipePage(t, e.name, e.env...)
	}
}

// TestDocumentedRecipesOnDoubles runs what the others show, on doubles of their
// engines' clients.
func TestDocumentedRecipesOnDoubles(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"docker", "kubernetes", "incus"} {
		work := t.TempDir()
		if err := os.Mkdir(filepath.Join(work, "state"), 0o700); err != nil {
			t.Fatal(err)
		}
		engines, err := filepath.Abs("testdata/engines")
		if err != nil {
			t.Fatal(err)
		}
		testRecipePage(t, name, "WORK="+work, "PATH="+engines+":"+os.Getenv("PATH"))
	}
}

// testRecipePage runs what the page of a recipe shows.
func testRecipePage(t *testing.T, name string, env ...string) {
	source, err := filepath.Abs(repositoryRoot)
	if err != nil {
		t.Fatal(err)
	}
	t.Run(name, func(t *testing.T) {
		testDocuments(t, name, append(env, "TESTR="+source, "TMPDIR="+t.TempDir())...)
	})
}
