package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// owners makes a user for tests: files belong to me, except those named here.
func owners(me int, config string, others map[string]int) user {
	return user{uid: me, config: config, owner: func(info os.FileInfo) int {
		if owner, ok := others[info.Name()]; ok {
			return owner
		}
		return me
	}}
}

// TestForeignConfigurationIsRefused is S18: a configuration that another user
// could have put there is refused, so that none of its commands is run.
func TestForeignConfigurationIsRefused(t *testing.T) {
	const me, other = 1000, 1001
	dir := filepath.Join(t.TempDir(), "project")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "mine"), "[DEFAULT]\ntest_command=touch pwned\n")
	if err := os.Symlink("mine", filepath.Join(dir, Name)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		others map[string]int
		want   string
	}{
		{"all mine", nil, ""},
		{"root's", map[string]int{"mine": 0, Name: 0, "project": 0}, ""},
		{"the file", map[string]int{"mine": other}, "it belongs to user 1001, so the commands in it are not run"},
		// A link to a file of mine makes it run where it was not meant to.
		{"the link", map[string]int{Name: other},
			"the link in its place belongs to user 1001, so the commands in it are not run"},
		{"the directory", map[string]int{"project": other},
			"its directory belongs to user 1001, so the commands in it are not run"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u := user{uid: me, owner: func(info os.FileInfo) int {
				name := info.Name()
				if name == Name && info.Mode().IsRegular() {
					name = "mine" // opened by way of the link, which gave it its name
				}
				if owner, ok := test.others[name]; ok {
					return owner
				}
				return me
			}}
			_, err := load(dir, u)
			var refusal *Error
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v; want nil", err)
			case test.want != "" && (!errors.As(err, &refusal) || refusal.Msg != test.want):
				t.Errorf("got %v; want %s", err, test.want)
			}
		})
	}
}

// TestTrustedDirectories is S18's way out: the user's own configuration.
func TestTrustedDirectories(t *testing.T) {
	const me, other = 1000, 1001
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "a 100%", "b")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, Name), "")
	if err := os.Symlink(top, filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config")
	u := owners(me, config, map[string]int{Name: other})

	var refusal *Error
	if _, err := load(dir, u); !errors.As(err, &refusal) {
		t.Fatalf("got %v; want a refusal", err)
	}
	first, lines, _ := strings.Cut(refusal.Hint, "\n")
	if want := "if you trust whoever can write there, add these lines to " + config + ":"; first != want {
		t.Errorf("got hint %s; want %s", first, want)
	}

	quoted := strings.ReplaceAll(top, "%", "%%")
	tests := []struct {
		name    string
		text    string
		trusted bool
	}{
		{"what the hint says", lines, true},
		{"a directory above", "[DEFAULT]\ntrusted_directories=/nowhere\n  " + quoted + "\n", true},
		{"everything", "[DEFAULT]\ntrusted_directories=/\n", true},
		{"by way of a link", "[DEFAULT]\ntrusted_directories=" + quoted + "/link/a 100%%\n", true},
		{"another directory", "[DEFAULT]\ntrusted_directories=" + quoted + "/a\n", false},
		{"a directory below", "[DEFAULT]\ntrusted_directories=" + quoted + "/a 100%%/b/c\n", false},
		{"a relative one", "[DEFAULT]\ntrusted_directories=.\n", false},
		{"nothing", "", false},
		{"a broken file", "trusted_directories=/\n", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			write(t, config, test.text)
			if _, err := load(dir, u); (err == nil) != test.trusted {
				t.Errorf("got %v; want trusted to be %v", err, test.trusted)
			}
			foreign := owners(me, config, map[string]int{Name: other, "config": other})
			if _, err := load(dir, foreign); err == nil {
				t.Error("got nil where the user's configuration is another's; want an error")
			}
		})
	}
}

func TestUserConfigurationPath(t *testing.T) {
	tests := []struct{ xdg, home, want string }{
		{"/x", "/home/me", "/x/testr/config"},
		{"", "/home/me", "/home/me/.config/testr/config"},
		{"relative", "/home/me", "/home/me/.config/testr/config"},
		{"", "", ""},
	}
	for _, test := range tests {
		t.Setenv("XDG_CONFIG_HOME", test.xdg)
		t.Setenv("HOME", test.home)
		if got := currentUser().config; got != test.want {
			t.Errorf("with %q and %q: got %q; want %q", test.xdg, test.home, got, test.want)
		}
	}
}
