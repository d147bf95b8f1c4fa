package worker

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBatchCommand(t *testing.T) {
	temp := filepath.Join(t.TempDir(), "it's here")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		template Template
		ids      []string
		want     string // what the command prints
	}{
		{"all", Template{Command: "echo all $IDOPTION", IDOption: "$IDFILE"}, nil, "all args\n"},
		{"list", Template{Command: "echo $IDLIST"}, []string{"a", "b c"}, "a b c args\n"},
		{"file", Template{Command: "cat $IDOPTION; echo", IDOption: "$IDFILE"}, []string{"a", "$(b)"},
			"a\n$(b)\nargs\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			argv, _, cleanup, err := Batch{Template: test.template, TempDir: temp}.Command(test.ids, []string{"args"})
			if err != nil {
				t.Fatal(err)
			}
			if got := shellOutput(t, argv); got != test.want {
				t.Errorf("got %q; want %q", got, test.want)
			}
			if err := cleanup(); err != nil {
				t.Error(err)
			}
			if left := names(t, temp); len(left) > 0 {
				t.Errorf("got files %q after cleanup; want none", left)
			}
		})
	}
}

// TestIDFile is S2 and S8: the file has each id on one line, in a directory that
// nobody else can enter, and nothing of it stays.
func TestIDFile(t *testing.T) {
	temp := t.TempDir()
	b := Batch{Template: Template{Command: "cat $IDFILE"}, TempDir: temp}
	ids := []string{"a.b", "-rf", "$(touch p)", "it's", "é\xff", "a b"}
	argv, _, cleanup, err := b.Command(ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	dirs := names(t, temp)
	if len(dirs) != 1 {
		t.Fatalf("got files %q; want one directory", dirs)
	}
	dir := filepath.Join(temp, dirs[0])
	if got := mode(t, dir); got != fs.ModeDir|0o700 {
		t.Errorf("got mode %v of the directory; want 0700", got)
	}
	if got := mode(t, filepath.Join(dir, "ids")); got != 0o600 {
		t.Errorf("got mode %v of the file; want 0600", got)
	}
	data, err := os.ReadFile(filepath.Join(dir, "ids"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Join(ids, "\n")+"\n", string(data)); diff != "" {
		t.Errorf("file differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(string(data), shellOutput(t, argv)); diff != "" {
		t.Errorf("the command got another file (-want +got):\n%s", diff)
	}
	if err := cleanup(); err != nil {
		t.Error(err)
	}
	if left := names(t, temp); len(left) > 0 {
		t.Errorf("got files %q after cleanup; want none", left)
	}
	for _, id := range []string{"a\nb", "a\rb", "", " a", "a\x00"} {
		if _, _, _, err := b.Command([]string{"x", id}, nil); err == nil {
			t.Errorf("got a file with the id %q; want an error", id)
		}
	}
	if left := names(t, temp); len(left) > 0 {
		t.Errorf("got files %q after errors; want none", left)
	}
}
