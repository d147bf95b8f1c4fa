//go:build peers

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"testr/internal/lab"
)

// engine is a real one that a recipe of examples/instances is for.
type engine struct {
	name string   // that of the recipe's directory
	env  []string // by which its commands find it
	list []string // the command that prints the names of instances; nil if it has no list
}

func podmanEngine(tb testing.TB) *engine {
	tb.Helper()
	p, err := lab.StartPodman(tb.Context(), tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeLab(tb, p) })
	path := program(tb, "podman", fmt.Sprintf("PATH='%s' exec '%s' \"$@\"", os.Getenv("PATH"), p.Command))
	// The image that the example names.
	if out, err := exec.Command(p.Command, "tag", p.Python, "docker.io/library/python:3").CombinedOutput(); err != nil {
		tb.Fatalf("name the image: %v: %s", err, out)
	}
	return &engine{name: "podman", env: []string{path}, list: []string{"podman", "ps", "--all", "--format", "{{.Names}}"}}
}

func slurmEngine(tb testing.TB) *engine {
	tb.Helper()
	s, err := lab.StartSlurm(tb.Context(), tb.TempDir(), 3)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeLab(tb, s) })
	list := []string{"squeue", "--noheader", "--format=%j", "--states=PENDING,RUNNING,SUSPENDED"}
	return &engine{name: "slurm", env: s.Env(), list: list}
}

func sshEngine(tb testing.TB) *engine {
	tb.Helper()
	l, err := lab.Start(tb.Context(), tb.TempDir(), 2, lab.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeLab(tb, l) })
	// The hosts that the example names.
	path := program(tb, "ssh", fmt.Sprintf(`for word in "$@"; do
	case $word in
	desktop) word=host1 ;;
	build-17.example.com) word=host2 ;;
	esac
	set -- "$@" "$word"
	shift
done
exec /usr/bin/ssh -F '%s' "$@"`, l.Config))
	return &engine{name: "ssh", env: []string{path}}
}

func closeLab(tb testing.TB, l interface{ Close() error }) {
	tb.Helper()
	if err := l.Close(); err != nil {
		tb.Errorf("close the lab: %v", err)
	}
}

// program makes a program that is found before all others by a command with this
// environment.
func program(tb testing.TB, name, script string) (path string) {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		tb.Fatal(err)
	}
	return "PATH=" + dir + ":" + os.Getenv("PATH")
}

// recipe is a project that runs its tests on an engine, as the example's own
// files say.
type recipe struct {
	*project
	engine *engine
}

// newRecipe makes a project with those files. Its temporary files are outside of
// it: they have to be brought to instances.
func newRecipe(t *testing.T, e *engine, slots int, files map[string]string) recipe {
	t.Helper()
	p := newProject(t, files)
	p.env = append(append(p.env, "TMPDIR="+t.TempDir()), e.env...)
	copyRecipe(t, e.name, p.dir)
	conf := regexp.MustCompile(`(?m)^slots=.*$`).ReplaceAllString(p.read(".testr.conf"), fmt.Sprintf("slots=%d", slots))
	p.write(".testr.conf", conf)
	return recipe{p, e}
}

// instances are the names of those that the engine has, if it has a list.
func (r recipe) instances() []string {
	r.t.Helper()
	if r.engine.list == nil {
		return nil
	}
	res := r.run(r.command(r.program(r.engine.list[0]), r.engine.list[1:]...))
	if res.status != 0 {
		r.t.Fatalf("%q: got exit status %d\n%s", r.engine.list, res.status, res.err)
	}
	names := strings.Fields(res.out)
	slices.Sort(names)
	return names
}

// program finds a program by the project's environment.
func (r recipe) program(name string) string {
	r.t.Helper()
	for _, v := range slices.Backward(r.env) {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			dir, _, _ := strings.Cut(path, ":")
			if file := filepath.Join(dir, name); exists(file) {
				return file
			}
		}
	}
	file, err := exec.LookPath(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return file
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// wantNothingLeft wants no instance and no worker to be there.
func (r recipe) wantNothingLeft() {
	r.t.Helper()
	await(r.t, "the end of all instances", func() bool { return len(r.instances()) == 0 })
	await(r.t, "the end of all workers", func() bool { return len(r.pythons()) == 0 })
}

// provision has the recipe get instances, which dispose gives back at the end.
func (r recipe) provision(count int) []string {
	r.t.Helper()
	res := r.run(r.command("sh", "-c", provisionLine(r.read(".testr.conf"), count)))
	names := strings.Fields(res.out)
	r.t.Cleanup(func() { _ = r.dispose(names...) })
	if res.status != 0 || len(names) != count {
		r.t.Fatalf("got %q, exit status %d; want %d names\n%s", names, res.status, count, res.err)
	}
	return names
}

func (r recipe) dispose(names ...string) result {
	r.t.Helper()
	return r.run(r.command("ci/"+r.engine.name+"/dispose", names...))
}

// execute is a command on an instance.
func (r recipe) execute(name string, words ...string) *exec.Cmd {
	return r.command("ci/"+r.engine.name+"/execute", append([]string{name}, words...)...)
}

// provisionLine is what a configuration has for getting so many instances.
func provisionLine(conf string, count int) string {
	_, line, _ := strings.Cut(conf, "instance_provision=")
	line, _, _ = strings.Cut(line, "\n")
	return strings.ReplaceAll(line, "$INSTANCE_COUNT", fmt.Sprint(count))
}
