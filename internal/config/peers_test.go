//go:build peers

package config

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reference reads a file in base64 from each line and prints what ConfigParser
// makes of it: null for a file that it refuses, else a value for each option of
// each section, null where interpolation fails.
const reference = `
import base64, configparser, io, json, sys
for line in sys.stdin:
    parser = configparser.ConfigParser()
    try:
        data = io.BytesIO(base64.b64decode(line))
        parser.read_file(io.TextIOWrapper(data, encoding='utf-8'))
    except (configparser.Error, UnicodeDecodeError):
        print('null')
        continue
    out = {}
    for name in parser:
        out[name] = {}
        for option in parser._defaults if name == 'DEFAULT' else parser.options(name):
            try:
                out[name][option] = parser.get(name, option)
            except configparser.Error:
                out[name][option] = None
    print(json.dumps(out))
`

type contents map[string]map[string]*string

// TestAgainstConfigParser compares the parser with Python's own, on the corpus
// and on files made of pieces that matter.
func TestAgainstConfigParser(t *testing.T) {
	texts := append([]string(nil), corpus...)
	const seed = 20261122
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		texts = append(texts, randomFile(rnd))
	}
	refused := 0
	for i, want := range askPython(t, texts) {
		got := ours(texts[i])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d, file %d, %q (-python +testr):\n%s", seed, i, texts[i], diff)
		}
		if want == nil {
			refused++
		}
	}
	t.Logf("%d files, %d of them refused", len(texts), refused)
	if refused == 0 || refused > len(texts)*3/4 {
		t.Errorf("got %d of %d files refused; want some, and most read", refused, len(texts))
	}
}

func askPython(t *testing.T, texts []string) []contents {
	t.Helper()
	var in bytes.Buffer
	for _, text := range texts {
		in.WriteString(base64.StdEncoding.EncodeToString([]byte(text)) + "\n")
	}
	cmd := exec.Command("/usr/bin/python3", "-c", reference)
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	all := make([]contents, len(texts))
	for i := range all {
		if err := dec.Decode(&all[i]); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	return all
}

// ours is the same of this package's parser.
func ours(text string) contents {
	f, errs := parse("conf", []byte(text))
	if len(errs) > 0 {
		return nil
	}
	out := contents{}
	for _, s := range append(f.sections, f.defaults) {
		out[s.name] = map[string]*string{}
		for _, e := range append(append([]*entry(nil), s.entries...), f.defaults.entries...) {
			if v, err := f.get(s, e.name); err == nil {
				out[s.name][e.name] = &v.Text
			} else {
				out[s.name][e.name] = nil
			}
		}
	}
	return out
}

// randomFile puts lines together that are right more often than not.
func randomFile(rnd *rand.Rand) string {
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	var b strings.Builder
	if rnd.IntN(20) > 0 {
		b.WriteString("[DEFAULT]\n")
	}
	for i := range rnd.IntN(9) {
		end := pick("\n", "\n", "\n", "\n", "\r\n", "\r", " \n")
		indent := pick("", "", "", "", " ", "  ", "\t", "    ", "\u00a0")
		value := pick("", "1", "a b", "%%", "%(a0)s", "%(A1)s%(x)s", "%(b2)s", "x=y:z",
			"# no", "; no", "[q]", "é", "\x1f1", "\v")
		switch rnd.IntN(12) {
		case 0:
			fmt.Fprintf(&b, "%s[%s]%s%s", indent, pick("s", "t", "DEFAULT", "default", "a b", "]", "u%d"),
				pick("", "", " tail"), end)
		case 1, 2:
			b.WriteString(indent + pick("#", ";") + value + end)
		case 3:
			b.WriteString(indent + end)
		case 4, 5:
			b.WriteString("   " + value + end)
		case 6:
			if rnd.IntN(4) == 0 {
				b.WriteString(indent + pick("word", "%", "=", ": x", "[", "[]", "[open") + end)
			}
		default:
			fmt.Fprintf(&b, "%s%s%d%s%s%s", indent, pick("a", "b", "A", "É"), i, pick("=", ":", " = ", " : ", "\t="), value, end)
		}
	}
	return b.String()
}
