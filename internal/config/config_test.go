package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestLoad(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, Name, `[DEFAULT]
python=python3
test_command=%(python)s -m subunit.run discover . $LISTOPT $IDOPTION
test_id_option=--load-list $IDFILE
test_list_option=--list
test_id_list_default=a.b  a.c
test_run_concurrency=echo 3
filter_tags=worker-0 slow
group_regex=([^.]+\.)+
Worker : stream
worker_command=serve $LISTOPT
`)
	c, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	got := *c
	got.Profiles[0].GroupRegex = nil
	want := Config{
		File: Name, Root: ".",
		TestRunConcurrency: Value{"echo 3", 7},
		FilterTags:         []string{"worker-0", "slow"},
		Profiles: []Profile{{Name: DefaultProfile, Suite: Suite{
			TestCommand:       Value{"python3 -m subunit.run discover . $LISTOPT $IDOPTION", 3},
			TestIDOption:      Value{"--load-list $IDFILE", 4},
			TestListOption:    Value{"--list", 5},
			TestIDListDefault: Value{"a.b  a.c", 6},
			Worker:            WorkerStream, WorkerLine: 10,
			WorkerCommand: Value{"serve $LISTOPT", 11},
			Slow:          time.Minute,
		}}},
		ProvisionTimeout: 10 * time.Minute, DisposeTimeout: 2 * time.Minute, InstanceIdle: 10 * time.Minute,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("config differs (-want +got):\n%s", diff)
	}
	if err := c.CheckRun(c.Profiles); err != nil {
		t.Errorf("got %v of CheckRun; want nil", err)
	}
}

func TestGroup(t *testing.T) {
	tests := []struct{ regex, id, want string }{
		{"", "a.b.c", ""},
		{`([^.]+\.)+`, "a.b.c", "a.b."},
		{`([^.]+\.)+`, "abc", ""},
		{"b", "a.b", ""},
		{"x|a", "a.b", "a"},
		{"(?i)A", "a.b", "a"},
	}
	for _, test := range tests {
		c, err := loadText(t, "[DEFAULT]\ngroup_regex="+test.regex+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Profiles[0].Group(test.id); got != test.want {
			t.Errorf("group of %q by %q: got %q; want %q", test.id, test.regex, got, test.want)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	tests := []struct {
		name string
		text string
		want string
	}{
		{"worker", "worker=bach\n",
			`.testr.conf:2: worker "bach" is not known; did you mean "batch"? ` +
				`(the workers are auto, stream, batch, python, go, pytest, tap)`},
		{"group_regex", "\ngroup_regex=(?=a)\n", ".testr.conf:3: option \"group_regex\": error parsing regexp: " +
			"invalid or unsupported Perl syntax: `(?=` (the syntax is RE2: it has no look-around and no back references)"},
		{"group_regex in pieces", "group_regex=a)(b\n", ".testr.conf:2: option \"group_regex\": error parsing regexp: " +
			"unexpected ): `a)(b` (the syntax is RE2: it has no look-around and no back references)"},
		{"no test_id_option", "test_command=x $IDOPTION\n", `.testr.conf:2: "test_command" has $IDOPTION, ` +
			`but "test_id_option" is not set (add a line such as test_id_option=--load-list $IDFILE)`},
		{"no test_list_option", "test_command=x $LISTOPT\ntest_list_option=\n", `.testr.conf:2: "test_command" has ` +
			`$LISTOPT, but "test_list_option" is not set (add a line such as test_list_option=--list)`},
		{"no test_list_option for the worker", "worker=stream\nworker_command=x $LISTOPT\n",
			`.testr.conf:3: "worker_command" has $LISTOPT, but "test_list_option" is not set ` +
				`(add a line such as test_list_option=--list)`},
		{"percent sign", "test_command=date +%s\n",
			`.testr.conf:2: option "test_command": "%" stands alone (write %% for a percent sign)`},
		{"NUL", "test_command=a\x00b\n", `.testr.conf:2: option "test_command" has a NUL character`},
		{"timeout", "timeout=3 min\n", `.testr.conf:2: option "timeout": "3 min" is no length of time ` +
			`(want a length of time such as 90, 1.5s, 2m or 1h30m, or 0 for none)`},
		{"slow", "slow=-1\n", `.testr.conf:2: option "slow": "-1" is no length of time ` +
			`(want a length of time such as 90, 1.5s, 2m or 1h30m, or 0 for none)`},
		{"keep_runs", "keep_runs=0\n", `.testr.conf:2: option "keep_runs": "0" is no number of things to keep ` +
			`(want 1 or more; without the option everything is kept)`},
		{"keep_days", "keep_days=a week\n", `.testr.conf:2: option "keep_days": "a week" is no number of things to keep ` +
			`(want 1 or more; without the option everything is kept)`},
		{"retries", "\nretries=twice\n", `.testr.conf:3: option "retries": "twice" is no number (want 0 or more)`},
		{"fewer than no retries", "retries=-1\n", `.testr.conf:2: option "retries": "-1" is no number (want 0 or more)`},
		{"parallel_class", "parallel_class=maybe\n",
			`.testr.conf:2: option "parallel_class": "maybe" is neither true nor false (write true or false)`},
		{"several, by line", "worker=x\nword\n[instance a]\nslot=3\n", strings.Join([]string{
			`.testr.conf:2: worker "x" is not known (the workers are auto, stream, batch, python, go, pytest, tap)`,
			`.testr.conf:3: the line has neither "=" nor ":" (indent a line that continues the value above it)`,
			`.testr.conf:5: option "slot" is not known in [instance a]; did you mean "slots"?`}, "\n")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := loadText(t, "[DEFAULT]\n"+test.text)
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("got %v; want Errors", err)
			}
			if got := withHints(errs); got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
			if first := (*Error)(nil); !errors.As(err, &first) || first != errs[0] {
				t.Errorf("errors.As found %v; want the first error", first)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		name string
		text string
		want string
	}{
		{"none", "[DEFAULT]\nhelper=x\ntest_command=%(helper)s\n[DEFAULT]\n", ""},
		{"near miss", "[DEFAULT]\n\ntest_comand=x\n",
			`.testr.conf:3: option "test_comand" is not known; did you mean "test_command"?`},
		{"dashes", "[DEFAULT]\ntest-list-option=x\n",
			`.testr.conf:2: option "test-list-option" is not known; did you mean "test_list_option"?`},
		{"no near one", "[DEFAULT]\nfavourite=x\n", `.testr.conf:2: option "favourite" is not known`},
		{"of the user's configuration", "[DEFAULT]\ntrusted_directories=/\n",
			`.testr.conf:2: option "trusted_directories" is not known`},
		{"later option", "[DEFAULT]\nFile_Hook=x\n",
			`.testr.conf:2: option "file_hook" is not supported in this version of testr; it has no effect`},
		{"unknown sections", "[default]\n[profil x]\n[tox]\n",
			".testr.conf:1: section [default] is not known; did you mean \"DEFAULT\"?\n" +
				".testr.conf:2: section [profil x] is not known; did you mean \"profile\"?\n" +
				".testr.conf:3: section [tox] is not known"},
		{"group_regex beside parallel_class", "[DEFAULT]\ngroup_regex=a\nparallel_class=yes\n",
			`.testr.conf:2: option "group_regex" has no effect with parallel_class=true`},
		{"worker_command alone", "[DEFAULT]\nworker_command=x\n",
			`.testr.conf:2: option "worker_command" has no effect without worker=stream`},
		{"test_id_option without ids", "[DEFAULT]\ntest_id_option=--some\n",
			`.testr.conf:2: "test_id_option" has neither $IDFILE nor $IDLIST: no tests can be selected with it`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := loadText(t, test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := withHints(c.Warnings); got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
		})
	}
}

func TestCheckRun(t *testing.T) {
	tests := []struct {
		name string
		text string
		want string
	}{
		{"empty file", "", `.testr.conf: option "test_command" is not set`},
		{"empty command", "[DEFAULT]\ntest_command=\n", `.testr.conf: option "test_command" is not set`},
		{"worker_command without its worker", "[DEFAULT]\nworker_command=x\n",
			`.testr.conf: option "test_command" is not set`},
		{"worker_command", "[DEFAULT]\nworker=stream\nworker_command=x\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := loadText(t, test.text)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := c.CheckRun(c.Profiles); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	top := t.TempDir()
	sub := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(sub)
	if _, err := Find("."); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v; want ErrNotFound", err)
	}
	if _, err := Load("."); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v of Load; want ErrNotFound", err)
	}
	write(t, filepath.Join(top, Name), "")
	want, err := filepath.EvalSymlinks(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{".", sub, filepath.Join(top, "a")} {
		got, err := Find(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err = filepath.EvalSymlinks(got); err != nil || got != want {
			t.Errorf("from %s: got %s, %v; want %s", dir, got, err, want)
		}
	}
	write(t, Name, "")
	if got, err := Find("."); err != nil || got != "." {
		t.Errorf("got %s, %v; want . again", got, err)
	}
	if err := os.Remove(Name); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", Name); err != nil {
		t.Fatal(err)
	}
	if got, err := Find("."); err != nil || got != "." {
		t.Errorf("got %s, %v for a broken link; want . for it", got, err)
	}
	if _, err := Load("."); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("got %v for a broken link; want another error than ErrNotFound", err)
	}
}

func TestOddFiles(t *testing.T) {
	tests := []struct {
		name string
		make func(path string) error
		want string
	}{
		{"directory", func(path string) error { return os.Mkdir(path, 0o755) }, ".testr.conf: it is no regular file"},
		{"pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, ".testr.conf: it is no regular file"},
		{"large file", func(path string) error {
			return os.WriteFile(path, make([]byte, maxFile+1), 0o600)
		}, ".testr.conf: it is larger than 1048576 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := test.make(Name); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := Load(".")
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil || err.Error() != test.want {
					t.Errorf("got %v; want %s", err, test.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Load hangs")
			}
		})
	}
}

func TestExampleLoads(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", "..", Name+".example"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadText(t, string(example))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("got warnings %s; want none", withHints(c.Warnings))
	}
	if err := c.CheckRun(c.Profiles); err != nil {
		t.Errorf("got %v of CheckRun; want nil", err)
	}
	for _, name := range append(append([]string(nil), options...), trustedOption) {
		if !strings.Contains(string(example), name) {
			t.Errorf("the example doesn't mention %s", name)
		}
	}
}

// TestExampleUncommented takes the marks away from the example's options, which
// people do, and from all of them, which nobody does.
func TestExampleUncommented(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", "..", Name+".example"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadText(t, regexp.MustCompile(`(?m)^#([\[a-z])`).ReplaceAllString(string(example), "$1"))
	if err != nil {
		t.Fatal(withHints(asErrors(err)))
	}
	if c.Hooks == nil || !c.Hooks.Dispose.Set() {
		t.Errorf("got hooks %v; want them all", c.Hooks)
	}
	want := []Instance{
		{Name: "here", Type: InstanceLocal, Slots: 2},
		{Name: "desktop", Type: InstanceSSH, Host: "desktop.example.com", Slots: 5, Directory: "src/project",
			Setup: Value{Text: ". .venv/bin/activate"}, Env: []string{"DB=postgres"},
			Sync: true, SyncExclude: []string{"docs/", "*.iso"}, Relay: true, Profiles: []string{"py34"}},
	}
	if diff := cmp.Diff(want, c.Instances, cmpopts.IgnoreFields(Instance{}, "Line"),
		cmpopts.IgnoreFields(Value{}, "Line")); diff != "" {
		t.Errorf("instances differ (-want +got):\n%s", diff)
	}
	if got := c.ProfileTags(); !cmp.Equal(got, map[string][]string{"py34": {"postgres", "py34"}}) {
		t.Errorf("got profiles with tags %v; want py34 alone", got)
	}
	for _, o := range instanceOptions {
		if !strings.Contains(string(example), "#"+o.name+"=") {
			t.Errorf("the example doesn't have %s", o.name)
		}
	}
}

// TestDocumentedInstances loads the configurations of many machines that
// documents show: fenced blocks "ini machines".
func TestDocumentedInstances(t *testing.T) {
	const block = "```ini machines\n"
	for _, path := range []string{"README.md", filepath.Join("docs", "configuration.md")} {
		text, err := os.ReadFile(filepath.Join("..", "..", path))
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(text), block)
		if len(parts) < 2 {
			t.Errorf("%s shows no configuration of many machines", path)
		}
		for i, part := range parts[1:] {
			shown, _, _ := strings.Cut(part, "```")
			t.Run(fmt.Sprintf("%s/%d", path, i), func(t *testing.T) {
				c, err := loadText(t, shown)
				if err != nil {
					t.Fatal(withHints(asErrors(err)))
				}
				if len(c.Warnings) > 0 {
					t.Errorf("got warnings %s; want none", withHints(c.Warnings))
				}
				if len(c.Instances) == 0 && c.Hooks == nil {
					t.Error("got no instances; want some")
				}
			})
		}
	}
}

// TestDocumentedProfiles loads the configuration with profiles that the documents
// show: a fenced block "ini profiles".
func TestDocumentedProfiles(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(text), "```ini profiles\n")
	shown, _, _ = strings.Cut(shown, "```")
	c, err := loadText(t, shown)
	if err != nil {
		t.Fatal(withHints(asErrors(err)))
	}
	if len(c.Warnings) > 0 || len(c.Profiles) != 3 || len(c.ByDefault) != 2 {
		t.Errorf("got %d profiles, %q by default, and warnings %s; want 3, two and none",
			len(c.Profiles), c.ByDefault, withHints(c.Warnings))
	}
	_, table, _ := strings.Cut(string(text), "| option | default | means |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, option := range append(suiteOptions, "tags", "env.NAME") {
		if !strings.Contains(table, "`"+option+"`") {
			t.Errorf("the table of a profile's options lacks %s", option)
		}
	}
}

// TestInstanceOptionsAreDocumented compares the options of instances with the
// rows of their table.
func TestInstanceOptionsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "### Options of instances\n")
	table, _, _ = strings.Cut(table, "####")
	got := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\| (.*?) \\|").FindAllStringSubmatch(table, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			got[strings.Trim(name, "`")] = row[2]
		}
	}
	want := map[string]string{"env.NAME": "`" + strings.Join(environment.types, "`, `") + "`"}
	for _, o := range instanceOptions {
		want[o.name] = "all"
		if len(o.types) < len(anyType) {
			want[o.name] = "`" + strings.Join(o.types, "`, `") + "`"
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options differ (-testr +docs/configuration.md):\n%s", diff)
	}
}

// loadText loads a file with that text.
func loadText(t *testing.T, text string) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, Name, text)
	return Load(".")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func withHints(errs Errors) string {
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = err.Error()
		if err.Hint != "" {
			lines[i] += " (" + err.Hint + ")"
		}
	}
	return strings.Join(lines, "\n")
}
