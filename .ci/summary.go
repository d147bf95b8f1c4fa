// Command summary reads what `go test -json` writes and prints a line for each
// package, what tests that failed wrote, which tests were skipped, and at the
// end how many passed and failed. Its exit status is 1 if any test or package
// failed or was skipped, or if none was run.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// line is one line of `go test -json`.
type line struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// key is a package, a test of it, or (as a package) a build.
type key struct{ name, test string }

// summary counts what was read.
type summary struct {
	out                     io.Writer
	output                  map[key]*strings.Builder // of what has not ended yet
	failedIn                map[string]int           // tests, by package
	passed, failed, skipped int
}

func main() {
	s := summary{out: os.Stdout, output: make(map[key]*strings.Builder), failedIn: make(map[string]int)}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(1)
	}
	fmt.Printf("%d passed, %d failed\n", s.passed, s.failed+s.skipped)
	if s.failed+s.skipped > 0 || s.passed == 0 {
		os.Exit(1)
	}
}

func (s *summary) read(in io.Reader) error {
	r := bufio.NewReader(in)
	for {
		text, err := r.ReadString('\n')
		var l line
		switch {
		case text == "":
		case json.Unmarshal([]byte(text), &l) == nil && l.Action != "":
			s.add(l)
		default: // of make, or of a compiler
			fmt.Fprint(s.out, text)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) add(l line) {
	k := key{l.Package + l.ImportPath, l.Test}
	switch l.Action {
	case "output", "build-output":
		if s.output[k] == nil {
			s.output[k] = &strings.Builder{}
		}
		s.output[k].WriteString(l.Output)
		return
	case "pass":
		if l.Test != "" {
			s.passed++
		}
	case "build-fail":
		s.show(k)
	case "fail":
		s.fail(k)
	case "skip":
		if l.Test != "" {
			s.skipped++
			fmt.Fprintf(s.out, "SKIPPED, which counts as failed: %s %s\n", l.Package, l.Test)
		}
	default:
		return
	}
	delete(s.output, k)
	if l.Test == "" {
		fmt.Fprintf(s.out, "%-5s %s %.1fs\n", l.Action, k.name, l.Elapsed)
	}
}

// fail counts a failure. That of a package counts where none of its tests says
// the same: it panicked, took too long, or did not build.
func (s *summary) fail(k key) {
	if k.test != "" || s.failedIn[k.name] == 0 {
		s.failed++
	}
	s.failedIn[k.name]++
	s.show(k)
	if k.test != "" {
		return
	}
	for unfinished := range s.output {
		if unfinished.name == k.name {
			s.show(unfinished)
		}
	}
}

// show prints what was written under k and forgets it.
func (s *summary) show(k key) {
	if out := s.output[k]; out != nil {
		fmt.Fprint(s.out, out)
		delete(s.output, k)
	}
}
