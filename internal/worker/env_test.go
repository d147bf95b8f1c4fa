package worker_test

import (
	"testing"

	"testr/internal/worker"
)

func TestStartsProgram(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]bool{
		"python3 -m subunit.run":             true,
		"${PYTHON:-python} -m x 'a b'":       true,
		`A=1 B='x y' C="$HOME/x" python3 -m`: true,
		"A= python3":                         true,
		"A=${A:-1} python3":                  false,
		"A=$B python3":                       false,
		"A=1":                                false,
		"":                                   false,
		"cd x && python3":                    false,
		"exec python3":                       false,
		". ./setup":                          false,
		"python3 >log":                       false,
		"python3 | cat":                      false,
		"(python3)":                          false,
		"python3 &":                          false,
		"python3 '":                          false,
	} {
		if got := worker.StartsProgram(command); got != want {
			t.Errorf("%q: got %v; want %v", command, got, want)
		}
	}
}
