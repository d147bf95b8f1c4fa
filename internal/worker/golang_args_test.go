package worker

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sortedArgs is a goArgs for comparison.
type sortedArgs struct {
	Dir                        string
	Build, Vet, Patterns, Test []string
}

func TestParseGoArgs(t *testing.T) {
	for _, test := range []struct {
		args string
		want sortedArgs
	}{
		{args: ""},
		{args: "./...", want: sortedArgs{Patterns: []string{"./..."}}},
		{args: "-race ./a ./b -short", want: sortedArgs{
			Build: []string{"-race=true"}, Patterns: []string{"./a", "./b"}, Test: []string{"-test.short=true"}}},
		{args: "-tags x,y --mod=mod -race=false .", want: sortedArgs{
			Build: []string{"-tags=x,y", "-mod=mod", "-race=false"}, Patterns: []string{"."}}},
		{args: "-v -count 1 -json -bench . -x ./...", want: sortedArgs{Patterns: []string{"./..."}}},
		{args: "-timeout 5m -parallel=3 -test.failfast .", want: sortedArgs{Patterns: []string{"."},
			Test: []string{"-test.timeout=5m", "-test.parallel=3", "-test.failfast=true"}}},
		{args: "-vet off -C sub -cover", want: sortedArgs{
			Dir: "sub", Vet: []string{"-vet=off"}, Build: []string{"-cover=true"}}},
		{args: "-run Test/a|B -skip C", want: sortedArgs{Test: []string{"-test.skip=C"}}},
		{args: ". -args -race x", want: sortedArgs{Patterns: []string{"."}, Test: []string{"-race", "x"}}},
		{args: ". -flavour sweet -short", want: sortedArgs{
			Patterns: []string{"."}, Test: []string{"-flavour", "sweet", "-test.short=true"}}},
		{args: "-flavour=sweet x -short", want: sortedArgs{Test: []string{"-flavour=sweet", "x", "-short"}}},
		{args: ". -short x -race", want: sortedArgs{
			Patterns: []string{"."}, Test: []string{"-test.short=true", "x", "-race"}}},
		{args: ". -- -race", want: sortedArgs{Patterns: []string{"."}, Test: []string{"--", "-race"}}},
		{args: "-", want: sortedArgs{Patterns: []string{"-"}}},
	} {
		t.Run(test.args, func(t *testing.T) {
			a, err := parseGoArgs(strings.Fields(test.args))
			if err != nil {
				t.Fatal(err)
			}
			got := sortedArgs{Dir: a.dir, Build: a.build, Vet: a.vet, Patterns: a.patterns, Test: a.test}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseGoArgsRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-coverprofile=c.out ./...": "-coverprofile=c.out: not supported",
		"-cpuprofile c.out":         "-cpuprofile: not supported",
		"-c":                        "-c: not supported",
		"-test.list=.":              "-test.list=.: not supported",
		"./... -tags":               "flag needs an argument: -tags",
		"-run (":                    "-run: \"(\": error parsing regexp",
		"-skip a|[":                 "-skip: \"a|[\": error parsing regexp",
	} {
		t.Run(args, func(t *testing.T) {
			_, err := parseGoArgs(strings.Fields(args))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v; want one with %q", err, want)
			}
		})
	}
}

// FuzzParseGoArgs checks that no argument is made up: what the test binary and
// the build get is what the user wrote.
func FuzzParseGoArgs(f *testing.F) {
	for _, seed := range []string{"", "-race\n./...\n-short", "-tags\nx\n.\n-args\n-v", "--", "-=", "-test.", "-C"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		args := strings.Split(lines, "\n")
		a, err := parseGoArgs(slices.Clone(args))
		if err != nil {
			return
		}
		for _, arg := range slices.Concat(a.patterns, a.test, a.build, a.vet) {
			value := arg
			if i := strings.IndexByte(arg, '='); strings.HasPrefix(arg, "-") && i >= 0 {
				value = arg[i+1:]
			}
			if value != "true" && !strings.Contains(lines, value) {
				t.Errorf("got argument %q of %q", arg, args)
			}
		}
	})
}

func TestGoPattern(t *testing.T) {
	for _, test := range []struct {
		pattern, test string
		matches       bool
		skips         bool
		only          string
	}{
		{"", "TestA", true, false, "^TestA$"},
		{"A", "TestA", true, true, "^TestA$"},
		{"^A", "TestA", false, false, "^TestA$"},
		{"A/b", "TestA", true, false, "^TestA$/b"},
		{"A/b|B|Test/c/d", "TestA", true, false, "^TestA$/b|^TestA$/c/d"},
		{"A|A/b", "TestA", true, true, "^TestA$|^TestA$/b"},
		{"(A|B)/[/|]x", "TestB", true, false, "^TestB$/[/|]x"},
		{`A\/|B`, "TestB", true, true, "^TestB$"},
		{"A/", "TestA", true, false, "^TestA$/"},
		{"Ä", "TestÄ", true, true, "^TestÄ$"},
	} {
		t.Run(test.pattern, func(t *testing.T) {
			p, err := parseGoPattern(test.pattern)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.matches(test.test); got != test.matches {
				t.Errorf("matches: got %v; want %v", got, test.matches)
			}
			if got := p.skips(test.test); got != test.skips {
				t.Errorf("skips: got %v; want %v", got, test.skips)
			}
			if got := p.only(test.test); got != test.only {
				t.Errorf("only: got %q; want %q", got, test.only)
			}
		})
	}
}
