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
// makes of it, except that the names of variables keep their case: null for a
// file that it refuses, else a value for each option of each section, null where
// interpolation fails.
const reference = `
import base64, configparser, io, json, sys
for line in sys.stdin:
    parser = configparser.ConfigParser()
    parser.optionxform = lambda name: 'env.' + name[4:] if name[:4].lower() == 'env.' else name.lower()
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
		value := pick("", "1", "a b", "%%", "%(a0)s", "%(A1)s%(x)s", "%(b2)s", "%(env.a3)s", "x=y:z",
			"# no", "; no", "[q]", "é", "\x1f1", "\v")
		switch rnd.IntN(12) {
		case 0:
			fmt.Fprintf(&b, "%s[%s]%s%s", indent, pick("s", "t", "DEFAULT", "default", "a b", "]", "u%d", "instance a"),
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
			name := pick("a", "b", "A", "É", "env.a", "ENV.A")
			fmt.Fprintf(&b, "%s%s%d%s%s%s", indent, name, i, pick("=", ":", " = ", " : ", "\t="), value, end)
		}
	}
	return b.String()
}

// TestInstancesAgainstConfigParser compares what sections [instance NAME] get
// from [DEFAULT] with what ConfigParser gives them.
func TestInstancesAgainstConfigParser(t *testing.T) {
	const seed = 20261127
	rnd := rand.New(rand.NewPCG(seed, 0))
	texts := make([]string, 2000)
	for i := range texts {
		texts[i] = randomInstances(rnd)
	}
	compared := 0
	for i, all := range askPython(t, texts) {
		c, errs := interpret("conf", ".", []byte(texts[i]))
		if len(errs) > 0 {
			continue
		}
		compared++
		for _, got := range c.Instances {
			section := all["instance "+got.Name]
			want := map[string]string{}
			for name, value := range section {
				variable, is := strings.CutPrefix(name, envPrefix)
				if is && got.Type != InstanceHook {
					want[variable] = *value
				}
			}
			variables := map[string]string{}
			for _, v := range got.Env {
				name, value, _ := strings.Cut(v, "=")
				variables[name] = value
			}
			if diff := cmp.Diff(want, variables); diff != "" || len(variables) != len(got.Env) {
				t.Fatalf("seed %d, file %d, %q: variables of %s (-python +testr):\n%s", seed, i, texts[i], got.Name, diff)
			}
			values := map[string]string{"setup": got.Setup.Text, "directory": got.Directory}
			if got.Type == InstanceLocal {
				delete(values, "directory")
			}
			if got.Type == InstanceHook {
				values = map[string]string{"instance_dispose": got.Dispose.Text}
			}
			for name, value := range values {
				want := ""
				if v := section[name]; v != nil {
					want = *v
				}
				if value != want {
					t.Fatalf("seed %d, file %d, %q: %s of %s: got %q; want %q", seed, i, texts[i], name, got.Name, value, want)
				}
			}
		}
	}
	t.Logf("%d files, %d of them accepted", len(texts), compared)
	if compared < len(texts)/10 {
		t.Errorf("got %d of %d files accepted; want a tenth", compared, len(texts))
	}
}

// randomInstances makes a file whose sections have options of [DEFAULT], their
// own, and both.
func randomInstances(rnd *rand.Rand) string {
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	var b strings.Builder
	b.WriteString("[DEFAULT]\nbase=0\ninstance_provision=p\n")
	for i, header := range []string{"", "[instance a]\n", "[instance b]\ntype=hook\n", "[instance c]\ntype=local\n"} {
		b.WriteString(header)
		names := []string{"Setup", "directory", "env.A", "Env.a", "ENV.B", "BASE"}
		if i == 0 || i == 2 {
			names = append(names, "instance_dispose", "Instance_Execute")
		}
		if i == 2 {
			names = names[5:]
		}
		for _, name := range names {
			if rnd.IntN(2) == 0 {
				b.WriteString(name + pick("=", " : ") + pick("x", "", "%%", "y z", "%(base)s", "%(BASE)s/1", "x\n  # no") + "\n")
			}
		}
	}
	return b.String()
}
