//go:build peers

package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestRealOwners is S18 with files that really belong to somebody else, which
// takes root to make.
func TestRealOwners(t *testing.T) {
	const other = 12345
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	write(t, path, "[DEFAULT]\ntest_command=touch pwned\n")
	for _, foreign := range []string{path, dir} {
		if _, err := Load(dir); err != nil {
			t.Fatalf("got %v for what is root's; want nil", err)
		}
		if err := os.Chown(foreign, other, -1); err != nil {
			t.Fatal(err)
		}
		var errs Errors
		if _, err := Load(dir); !errors.As(err, &errs) {
			t.Errorf("got %v with %s of another user; want a refusal", err, foreign)
		}
		if err := os.Chown(foreign, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
}
