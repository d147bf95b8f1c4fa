package instancetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
)

// S1: an argument is no piece of a command line, whatever is in it.
func (c contract) testArguments(t *testing.T) {
	dir := t.TempDir()
	i := c.instance(t, Settings{Dir: dir})
	args := []string{
		"", " ", "a b", "'", `"`, `\`, "\n", "a\nb\r\n", "$(touch canary)", "`touch canary`", "; touch canary",
		"&& touch canary", "| touch canary", "> canary", "$HOME", "${HOME}", "*", "?", "[a]", "~", "-rf", "--", "#",
		"!", "%s", "\t", "\x01", "\x1b[2J", "ü", "\xff\xfe", "'; touch canary; '", `"; touch canary; "`,
		strings.Repeat("x", 64<<10),
	}
	got := Output(t, i, Program(t, "args", args...), nil)
	if diff := cmp.Diff(args, strings.Split(strings.TrimSuffix(got.Stdout, "\x00"), "\x00")); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("an argument was run: %v, %v", left, err)
	}
	Failure(t, i, Program(t, "args", "a\x00b")) // no argument can have that
}

func (c contract) testEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	i := c.instance(t, Settings{Dir: dir, Env: []string{"A=instance", "B=instance", "ODD=$A 'x'\n"}})
	tests := []struct{ dir, want string }{
		{"", dir},
		{"sub", filepath.Join(dir, "sub")},
		{other, other},
	}
	for _, tt := range tests {
		cmd := Program(t, "where", "PWD", "A", "B", "ODD")
		cmd.Dir = tt.dir
		cmd.Env = append(cmd.Env, "B=first", "B=command")
		want := strings.Join([]string{tt.want, tt.want, "instance", "command", "$A 'x'\n", ""}, "\n")
		if diff := cmp.Diff(want, Output(t, i, cmd, nil).Stdout); diff != "" {
			t.Errorf("Dir %q (-want +got):\n%s", tt.dir, diff)
		}
	}
}

// A command that can't be run says what is missing.
func (c contract) testStartErrors(t *testing.T) {
	i := c.instance(t, Settings{})
	missing := filepath.Join(t.TempDir(), "missing")
	inDir := Program(t, "exit", "0")
	inDir.Dir = missing
	tests := []struct {
		name, want string
		cmd        instance.Command
	}{
		{"no such program in PATH", "testr-no-such-program", instance.Command{Args: []string{"testr-no-such-program"}}},
		{"no such file", missing, instance.Command{Args: []string{missing}}},
		{"no such directory", missing, inDir},
	}
	for _, tt := range tests {
		if got := Failure(t, i, tt.cmd); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q; want it to name %s", tt.name, got, tt.want)
		}
	}
	if _, err := i.Start(t.Context(), instance.Command{}); err == nil {
		t.Error("a command without a program was started")
	}
}
