package runner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
)

// TestCrossing: variables get past a hook, which brings words to where they go, as it
// is, or which may be read by one more shell.
func TestCrossing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		env, args []string
		want      []string
	}{
		{"none", nil, shellCommand("python x").Args, shellCommand("python x").Args},
		{"plain", []string{"DB=postgres", "EMPTY="}, shellCommand("A=1 python -m x >&2").Args,
			[]string{"env", "DB=postgres", "EMPTY=", "/bin/sh", "-c", "A=1 python -m x >&2"}},
		{"simple", []string{"DB=postgres", "EMPTY="}, shellCommand("A=1 python -m x").Args,
			shellCommand("env DB=postgres EMPTY= A=1 python -m x").Args},
		{"odd value", []string{"DB=a b; rm -rf $HOME"}, shellCommand("python x").Args,
			[]string{"env", "DB=a b; rm -rf $HOME", "/bin/sh", "-c", "python x"}},
		{"more than one command", []string{"DB=postgres"}, shellCommand("cd x && python y").Args,
			[]string{"env", "DB=postgres", "/bin/sh", "-c", "cd x && python y"}},
		{"no shell", []string{"DB=postgres"}, []string{"cat", "a b"}, []string{"env", "DB=postgres", "cat", "a b"}},
	} {
		got := crossing(instance.Command{Args: test.args, Env: test.env})
		if diff := cmp.Diff(test.want, got.Args); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if got.Env != nil {
			t.Errorf("%s: got variables %q beside the words; want none", test.name, got.Env)
		}
	}
}
