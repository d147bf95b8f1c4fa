// Command mutants breaks testr on purpose, one defence at a time, and wants the
// tests that are named for it to notice. Nothing in the source tree changes: the
// go command gets the changed files as an overlay.
//
//	go run ./scripts/mutants           all of them; some minutes
//	go run ./scripts/mutants -check    only that each one still applies and compiles
//	go run ./scripts/mutants nosync    those whose names have this in them
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mutant is a defence taken away.
type mutant struct {
	name  string
	pkg   string // below internal
	edits []edit
	tests string // each of which notices: names with | between them
	in    string // the package of the tests, if it is another one
	peers bool   // the tests need the tag
}

// edit replaces a text that stands once in a file of the package.
type edit struct{ file, old, replacement string }

func main() {
	check := flag.Bool("check", false, "only see whether the mutants apply and compile")
	flag.Parse()
	survived, err := run(*check, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
	if survived > 0 {
		os.Exit(1)
	}
}

// run tries the mutants whose names contain one of words, or all, and returns how
// many were not noticed or are none any more.
func run(check bool, words []string) (survived int, err error) {
	temp, err := os.MkdirTemp("", "testr-mutants-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	tried := 0
	for _, m := range mutants() {
		if !m.wanted(words) {
			continue
		}
		tried++
		begun := time.Now()
		verdict, ok := m.try(temp, check)
		if !ok {
			survived++
		}
		_, _ = fmt.Fprintf(os.Stdout, "%-40s %5.1fs  %s\n", m.name, time.Since(begun).Seconds(), verdict)
	}
	_, _ = fmt.Fprintf(os.Stdout, "%d mutants, %d of them a problem\n", tried, survived)
	if tried == 0 {
		err = fmt.Errorf("no mutant is called %q", words)
	}
	return survived, err
}

func (m *mutant) wanted(words []string) bool {
	for _, w := range words {
		if strings.Contains(m.name, w) {
			return true
		}
	}
	return len(words) == 0
}

// try tells what became of a mutant, and whether that is as it should be.
func (m *mutant) try(temp string, check bool) (verdict string, ok bool) {
	overlay, err := m.overlay(temp)
	if err != nil {
		return "does not apply: " + err.Error(), false
	}
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", os.DevNull, "./internal/"+m.pkg).
		CombinedOutput(); err != nil {
		return "does not compile:\n" + string(out), false
	}
	if check {
		return "applies", true
	}
	in := "./internal/" + m.pkg
	if m.in != "" {
		in = m.in
	}
	args := []string{"test", "-overlay", overlay, "-count=1", "-timeout=10m", "-run", "^(" + m.tests + ")$"}
	if m.peers {
		args = append(args, "-tags=peers")
	}
	out, err := exec.Command("go", append(args, in)...).CombinedOutput()
	text := string(out)
	var noticed []string
	for test := range strings.SplitSeq(m.tests, "|") {
		// A test that its process died of is in the stack that was printed.
		if strings.Contains(text, "--- FAIL: "+test) || strings.Contains(text, "."+test+"(") {
			noticed = append(noticed, test)
		}
	}
	switch {
	case err == nil:
		return "SURVIVED " + m.tests, false
	case len(noticed) == 0:
		return "the tests did not come to run:\n" + text, false
	}
	return "noticed by " + strings.Join(noticed, ", "), true
}

// overlay writes the changed files, and the list of them.
func (m *mutant) overlay(temp string) (path string, err error) {
	changed := map[string]string{}
	replace := map[string]string{}
	for _, e := range m.edits {
		file, err := filepath.Abs(filepath.Join("internal", m.pkg, e.file))
		if err != nil {
			return "", err
		}
		text, ok := changed[file]
		if !ok {
			b, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%s has %d times, and should have once: %s", e.file, n, e.old)
		}
		changed[file] = strings.Replace(text, e.old, e.replacement, 1)
	}
	for file, text := range changed {
		to := filepath.Join(temp, m.name+"-"+filepath.Base(file))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[file] = to
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(temp, m.name+".json")
	return path, os.WriteFile(path, list, 0o600)
}
