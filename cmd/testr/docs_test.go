package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

// repositoryRoot is where the documents are, as seen from this package.
const repositoryRoot = "../.."

// TestDocumentedCommands runs the testr commands that the documents show.
//
// In a document they stand in fenced blocks "console", behind "$ ". A command
// has to exit with 0, or as the comment at its end says: "# exit 1". What is
// shown below it has to be among its output, line by line in this order, except
// that times may differ; "…" stands for anything. Commands that begin otherwise
// than with testr are not run. Fenced blocks "ini" are the .testr.conf of what
// follows. A second word, as in "console python", names the project that a block
// is about; all blocks of a document about one project share its directory. A
// block "python stream/serve.py" is a file of the project "stream". The pages of
// docs/instances have projects of their own, of which all commands are run.
func TestDocumentedCommands(t *testing.T) {
	testDocuments(t, "go")
}

// TestDocumentedProfileCommands runs what the documents show of profiles.
func TestDocumentedProfileCommands(t *testing.T) {
	testDocuments(t, "databases")
}

// TestDocumentedImport runs what the documents show about a project that has a
// .testrepository.
func TestDocumentedImport(t *testing.T) {
	testDocuments(t, "legacy")
}

func TestQuickstartCommands(t *testing.T) {
	var steps []docStep
	for i, line := range strings.Split(quickstart, "\n") {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
			steps = append(steps, docStep{place: fmt.Sprintf("quickstart.txt:%d", i+1), command: command})
		}
	}
	if len(steps) == 0 {
		t.Fatal("quickstart.txt shows no command")
	}
	runDocSteps(t, docProjects["passing"], steps, isTestr)
}

// docProjects are the projects that documents talk about, with their files.
var docProjects = map[string]map[string]string{
	"go": {
		"go.mod": "module example.com/shop\n\ngo 1.24\n",
		"cart/cart_test.go": `package cart

import "testing"

func TestAdd(t *testing.T) {}

func TestRemove(t *testing.T) { t.Error("nothing to remove") }
`,
		"price/price_test.go": `package price

import "testing"

func TestRound(t *testing.T) {}

func TestTax(t *testing.T) { t.Skip("no taxes yet") }
`,
		".testr.conf": "[DEFAULT]\ntest_command=go test ./...\n",
	},
	"passing": {
		"go.mod":                     "module example.com/text\n\ngo 1.24\n",
		"test_parser/parser_test.go": "package parser\n\nimport \"testing\"\n\nfunc TestEmpty(t *testing.T) {}\n",
		".testr.conf":                "[DEFAULT]\ntest_command=go test ./...\n",
	},
	"databases": {
		"go.mod": "module example.com/shop\n\ngo 1.24\n",
		"shop_test.go": `package shop

import (
	"os"
	"testing"
)

func TestOrder(t *testing.T) {}

func TestUnique(t *testing.T) {
	if os.Getenv("DB") == "postgres" {
		t.Error("it is there twice")
	}
}
`,
	},
	"legacy": {
		".testrepository/format": "1\n",
		".testrepository/0": "test: shop.tests.TestCart.test_remove\n" +
			"failure: shop.tests.TestCart.test_remove [\nnothing\n]\n",
		".testrepository/failing": "test: shop.tests.TestCart.test_remove\n" +
			"failure: shop.tests.TestCart.test_remove [\nnothing\n]\n",
	},
	"stream": {}, // a document has all of it
	"worker": {}, // likewise
	"python": docPython,
	// The projects of docs/instances.
	"slurm": docPython, "podman": docPython, "docker": docPython, "kubernetes": docPython, "incus": docPython,
	"ssh": docPython,
}

// docPython is a Python project.
var docPython = map[string]string{
	"shop/__init__.py":       "",
	"shop/tests/__init__.py": "",
	"shop/tests/test_cart.py": `import unittest


class TestCart(unittest.TestCase):
    def test_add(self):
        pass

    def test_remove(self):
        self.fail("nothing to remove")


class TestPrice(unittest.TestCase):
    def test_round(self):
        pass

    @unittest.skip("no taxes yet")
    def test_tax(self):
        pass
`,
}

// testDocuments runs what all documents show about one project, with variables
// over the environment.
func testDocuments(t *testing.T, project string, env ...string) {
	t.Helper()
	_, err := os.Stat(filepath.Join(examples, project))
	runs := isTestr
	if err == nil {
		runs = func(string) bool { return true }
	}
	ran := 0
	for _, path := range documents(t) {
		steps := docSteps(t, path, project)
		if !slices.ContainsFunc(steps, func(s docStep) bool { return s.command != "" }) {
			continue
		}
		ran++
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			runDocSteps(t, docProjects[project], steps, runs, env...)
		})
	}
	if ran == 0 {
		t.Errorf("no document shows a command about the %s project", project)
	}
}

func isTestr(command string) bool { return strings.HasPrefix(command, "testr ") }

// docStep is a command with what is shown of its output, or a file.
type docStep struct {
	place   string
	command string
	output  []string
	file    string
	content string
}

var fencePattern = regexp.MustCompile("^ *```([a-z]*) ?([a-z]*)/?(.*)$")

// docSteps reads the blocks of a document that are about a project. "go" is what
// a block is about that doesn't say.
func docSteps(t *testing.T, path, project string) []docStep {
	t.Helper()
	var steps []docStep
	in, relevant := false, false
	for i, line := range strings.Split(readDocument(t, path), "\n") {
		fence := fencePattern.FindStringSubmatch(line)
		switch {
		case fence != nil && in:
			in = false
		case fence != nil:
			in = true
			step := docStep{place: fmt.Sprintf("%s:%d", path, i+1), file: fence[3]}
			if fence[1] == "ini" {
				step.file = ".testr.conf"
			}
			about := cmp.Or(fence[2], "go")
			if fence[1] == "console" && docProjects[about] == nil {
				t.Errorf("%s: there is no project %q to try this in", step.place, about)
			}
			relevant = about == project && (step.file != "" || fence[1] == "console")
			if relevant {
				steps = append(steps, step)
			}
		case !in || !relevant:
		default:
			steps = addDocLine(steps, line, fmt.Sprintf("%s:%d", path, i+1))
		}
	}
	return steps
}

// addDocLine adds a line of a block to the steps, the last of which is its own.
func addDocLine(steps []docStep, line, place string) []docStep {
	last := &steps[len(steps)-1]
	switch command, ok := strings.CutPrefix(line, "$ "); {
	case last.file != "":
		last.content += line + "\n"
	case ok:
		return append(steps, docStep{place: place, command: command})
	case line != "…":
		last.output = append(last.output, line)
	}
	return steps
}

var exitPattern = regexp.MustCompile(` # exit (\d+)$`)

// runDocSteps runs the commands that runs wants, in their order, in a directory
// with those files.
func runDocSteps(t *testing.T, files map[string]string, steps []docStep, runs func(string) bool, env ...string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		writeDocFile(t, filepath.Join(dir, name), content)
	}
	for _, s := range steps {
		if s.file != "" {
			writeDocFile(t, filepath.Join(dir, s.file), s.content)
		}
		if s.command == "" || !runs(s.command) {
			continue
		}
		want := 0
		if m := exitPattern.FindStringSubmatch(s.command); m != nil {
			want, _ = strconv.Atoi(m[1])
		}
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", s.command)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "XDG_CONFIG_HOME="+filepath.Join(dir, ".config"))
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("%s: %s: %v", s.place, s.command, err)
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: %s: got exit status %d; want %d; its output:\n%s", s.place, s.command, got, want, out)
		}
		if line, ok := missingLine(s.output, string(out)); !ok {
			t.Errorf("%s: %s: the output has no line %q where it should; it is:\n%s", s.place, s.command, line, out)
		}
	}
}

// volatilePattern matches what differs from run to run.
var volatilePattern = regexp.MustCompile(`( \([+-]\d+\.\d{3}s\))|\d+\.\d{3}s?|\bworker-\d+`)

// missingLine returns the first line of shown that output has not, in order.
func missingLine(shown []string, output string) (line string, ok bool) {
	lines := strings.Split(output, "\n")
	for _, want := range shown {
		stable := func(s string) string { return volatilePattern.ReplaceAllString(s, "") }
		i := slices.IndexFunc(lines, func(got string) bool { return stable(got) == stable(want) })
		if i < 0 {
			return want, false
		}
		lines = lines[i+1:]
	}
	return "", true
}

// TestCommandsAreDocumented compares docs/commands.md, where each command has a
// section with its name in backquotes and each option a row of a table, with
// what testr knows.
func TestCommandsAreDocumented(t *testing.T) {
	env := newEnvironment(strings.NewReader(""), io.Discard, io.Discard)
	want := map[string][]string{"": optionNames(newApp(env).Flags)}
	global := want[""]
	var add func(parent string, commands []*cli.Command)
	add = func(parent string, commands []*cli.Command) {
		for _, c := range commands {
			name := strings.TrimSpace(parent + " " + c.Name)
			options := slices.DeleteFunc(optionNames(c.Flags), func(o string) bool { return slices.Contains(global, o) })
			want[name] = options
			add(name, c.Subcommands)
		}
	}
	add("", newApp(env).Commands)
	got := documentedOptions(readDocument(t, filepath.Join(repositoryRoot, "docs/commands.md")))
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("commands and options, -those that testr has +those of docs/commands.md:\n%s", diff)
	}
}

func optionNames(flags []cli.Flag) []string {
	names := []string{}
	for _, f := range flags {
		for _, name := range f.Names() {
			if len(name) > 1 {
				names = append(names, "--"+name)
			}
		}
	}
	slices.Sort(names)
	return names
}

var (
	sectionPattern = regexp.MustCompile("^##+ (?:`testr ([a-z0-9 -]+)`|(.*))$")
	optionPattern  = regexp.MustCompile("^\\| `(--[a-z-]+)[` =]")
)

// documentedOptions are the options that stand in tables, by the command whose
// section it is. Those of the section "Options of every command" have no name.
func documentedOptions(text string) map[string][]string {
	options := map[string][]string{}
	section := "other"
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := sectionPattern.FindStringSubmatch(line); m != nil {
			section = "other"
			switch {
			case m[1] != "":
				section = m[1]
			case m[2] == "Options of every command":
				section = ""
			}
			if section != "other" {
				options[section] = []string{}
			}
		}
		if m := optionPattern.FindStringSubmatch(line); m != nil && section != "other" {
			options[section] = append(options[section], m[1])
		}
	}
	for _, o := range options {
		slices.Sort(o)
	}
	return options
}

var linkPattern = regexp.MustCompile(`\]\(([^()\s]+)\)`)

// TestDocumentLinks looks for what relative links point to.
func TestDocumentLinks(t *testing.T) {
	for _, path := range documents(t) {
		for i, line := range strings.Split(readDocument(t, path), "\n") {
			for _, m := range linkPattern.FindAllStringSubmatch(line, -1) {
				target, _, _ := strings.Cut(m[1], "#")
				if target == "" || strings.Contains(target, ":") {
					continue
				}
				if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
					t.Errorf("%s:%d: the link %s leads nowhere: %v", path, i+1, m[1], err)
				}
			}
		}
	}
}

// documents are the paths of all documents for people.
func documents(t *testing.T) []string {
	t.Helper()
	paths := []string{filepath.Join(repositoryRoot, "README.md"), filepath.Join(repositoryRoot, "CONTRIBUTING.md")}
	err := filepath.WalkDir(filepath.Join(repositoryRoot, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func readDocument(tb testing.TB, path string) string {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

func writeDocFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
