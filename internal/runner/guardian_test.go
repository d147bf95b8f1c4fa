package runner

import (
	"os"
	"slices"
	"testing"

	"testr/internal/instance"
)

// The test binary serves as the testr that guards the workers.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"guardian"}) {
		if err := instance.RunGuardian(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
