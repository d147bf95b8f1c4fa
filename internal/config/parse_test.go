package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseValues(t *testing.T) {
	tests := []struct {
		name string
		text string
		want map[string]Value
	}{
		{"delimiters", "[DEFAULT]\na=1\nb : 2\nc:d=e\nd = x:y\ne=\n", map[string]Value{
			"a": {"1", 2}, "b": {"2", 3}, "c": {"d=e", 4}, "d": {"x:y", 5}, "e": {"", 6}}},
		{"case of options", "[DEFAULT]\nTest_Command=A\nENV.Path=B\nenv.path=C\n", map[string]Value{
			"test_command": {"A", 2}, "env.Path": {"B", 3}, "env.path": {"C", 4}}},
		{"comments on lines of their own only", "# first\n[DEFAULT]\n; second\na=1 # no comment ; nor this\n",
			map[string]Value{"a": {"1 # no comment ; nor this", 4}}},
		{"continuation lines", "[DEFAULT]\na=1\n  2\n\t3\nb=\n  4\n", map[string]Value{
			"a": {"1\n2\n3", 2}, "b": {"\n4", 5}}},
		{"comments and empty lines in a value", "[DEFAULT]\na=1\n  # gone\n\n  2\n\n\n[x]\n", map[string]Value{
			"a": {"1\n\n2", 2}}},
		{"an indented section goes on less deeply", "[DEFAULT]\n  a=1\n  b=2\n    3\n  c=4\n", map[string]Value{
			"a": {"1", 2}, "b": {"2\n3", 3}, "c": {"4", 5}}},
		{"ends of lines", "[DEFAULT]\r\na=1\r\n  2\rb=3", map[string]Value{"a": {"1\n2", 2}, "b": {"3", 4}}},
		{"interpolation", "[DEFAULT]\na=%(B)s-%(b)s 100%%\nb=<%(c)s>\nc=%%\n", map[string]Value{
			"a": {"<%>-<%> 100%", 2}, "b": {"<%>", 3}, "c": {"%", 4}}},
		{"a header ends at its last bracket", "[DEFAULT] text\na=1\n", map[string]Value{"a": {"1", 2}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, errs := parse("conf", []byte(test.text))
			if len(errs) > 0 {
				t.Fatalf("got errors %v; want none", errs)
			}
			got := map[string]Value{}
			for _, e := range f.defaults.entries {
				v, err := f.get(f.defaults, e.name)
				if err != nil {
					t.Fatalf("get %s: %v", e.name, err)
				}
				got[e.name] = v
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("values differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSectionsFallBackOnDefault(t *testing.T) {
	f, errs := parse("conf", []byte("[DEFAULT]\na=1\nb=%(a)s\n[x]\na=2\n"))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	got, err := f.get(f.section("x"), "b")
	if want := (Value{"2", 3}); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name string
		text string
		want string
	}{
		{"no header", "a=1\nb=2\n", "conf:1: no section header stands before this line"},
		{"no delimiter", "[DEFAULT]\nword\n", `conf:2: the line has neither "=" nor ":"`},
		{"no option", "[DEFAULT]\n=1\n", `conf:2: no option stands before "="`},
		{"option twice", "[DEFAULT]\na=1\nA=2\n  3\n", `conf:3: option "a" was already set in line 2`},
		{"option twice in two parts", "[DEFAULT]\na=1\n[x]\n[DEFAULT]\na=2\n",
			`conf:5: option "a" was already set in line 2`},
		{"section twice", "[x]\n[y]\n[x]\n", "conf:3: section [x] was already begun in line 1"},
		{"byte order mark", "\ufeff[DEFAULT]\n", "conf:1: the file begins with a byte order mark"},
		{"not UTF-8", "[DEFAULT]\na=\xff\n", "conf:2: the line is not UTF-8"},
		{"several", "[DEFAULT]\na=1\na=2\nword\n[x]\n[x]\n:\n", strings.Join([]string{
			`conf:3: option "a" was already set in line 2`,
			`conf:4: the line has neither "=" nor ":"`,
			"conf:6: section [x] was already begun in line 5",
			`conf:7: no option stands before ":"`}, "\n")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, errs := parse("conf", []byte(test.text))
			if got := errs.Error(); got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
		})
	}
}

func TestInterpolationErrors(t *testing.T) {
	laughs := "a0=" + strings.Repeat("x", 1000) + "%%\n"
	silence := "a0=%(b)s\nb=\n"
	for i := range 9 {
		line := strings.Repeat("%(a"+string(rune('0'+i))+")s", 1000) + "\n"
		laughs += "a" + string(rune('1'+i)) + "=" + line
		silence += "a" + string(rune('1'+i)) + "=" + line
	}
	tests := []struct {
		name string
		text string
		get  string
		want string
	}{
		{"alone", "a=50%\n", "a", `conf:2: option "a": "%" stands alone`},
		{"before a letter", "a=%s\n", "a", `conf:2: option "a": "%" stands alone`},
		{"open", "a=%(b\n", "a", `conf:2: option "a": "%(b" is no reference`},
		{"without s", "a=%(b)d\nb=1\n", "a", `conf:2: option "a": "%(b)d" is no reference`},
		{"without name", "a=%()s\n", "a", `conf:2: option "a": "%()s" is no reference`},
		{"missing", "a=1\nb=%(C)s\n", "b", `conf:3: option "b": "%(c)s" refers to an option that is not set`},
		{"circle", "a=%(b)s\nb=%(a)s\n", "a",
			`conf:2: option "a": its references are more than 10 deep, or go round in a circle`},
		{"too long", laughs, "a9", `conf:11: option "a9": its value is longer than 1048576 bytes`},
		{"too much work", silence, "a9", `conf:12: option "a9": it has more than 10000 references`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, errs := parse("conf", []byte("[DEFAULT]\n"+test.text))
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			_, err := f.get(f.defaults, test.get)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v; want %s", err, test.want)
			}
		})
	}
}

// FuzzParse holds that no file makes the parser panic, that what it reads has
// its line, and that reading says the same twice.
func FuzzParse(f *testing.F) {
	for _, text := range corpus {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, errs := parse("conf", data)
		again, errs2 := parse("conf", data)
		if diff := cmp.Diff(errs.Error(), errs2.Error()); diff != "" {
			t.Fatalf("two readings differ:\n%s", diff)
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		for _, s := range append(file.sections, file.defaults) {
			for _, e := range s.entries {
				if e.line < 1 || e.line > lines {
					t.Fatalf("option %q has line %d of %d", e.name, e.line, lines)
				}
				got, err := file.get(s, e.name)
				want, err2 := again.get(again.section(s.name), e.name)
				if got != want || (err == nil) != (err2 == nil) {
					t.Fatalf("option %q: got %v, %v, then %v, %v", e.name, got, err, want, err2)
				}
			}
		}
	})
}

// FuzzInterpret holds that no file makes the reading of options panic, that what
// is said about it has its line, in order and once, and that an instance which
// is accepted does no harm.
func FuzzInterpret(f *testing.F) {
	for _, text := range corpus {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, errs := interpret("conf", ".", data)
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		said := map[Error]bool{}
		for _, all := range []Errors{errs, c.Warnings} {
			last := 0
			for _, e := range all {
				if e.Line < last || e.Line < 1 || e.Line > lines || said[*e] {
					t.Fatalf("%v, after line %d, of %d, said before: %v", e, last, lines, said[*e])
				}
				last = e.Line
				said[*e] = true
			}
		}
		if len(errs) > 0 {
			return
		}
		names := map[string]bool{}
		for _, i := range c.Instances {
			checkInstance(t, i)
			if names[i.Name] {
				t.Fatalf("instance %q is there twice", i.Name)
			}
			names[i.Name] = true
		}
		if c.Hooks != nil && !c.Hooks.Provision.Set() {
			t.Fatalf("hooks get nothing: %v", c.Hooks)
		}
	})
}

func checkInstance(t *testing.T, i Instance) {
	t.Helper()
	if !filepath.IsLocal(i.Name) || filepath.Base(i.Name) != i.Name || i.Name[0] == '-' {
		t.Fatalf("instance %q can't be a file's name", i.Name)
	}
	if i.Type == InstanceSSH && (i.Host == "" || i.Host[0] == '-' || strings.ContainsAny(i.Host, " \t\n\x00")) {
		t.Fatalf("instance %q has host %q", i.Name, i.Host)
	}
	if i.Sync && (i.Type != InstanceSSH || i.Directory == "" || slices.Contains(strings.Split(i.Directory, "/"), "..")) {
		t.Fatalf("instance %q of type %s is brought to %q", i.Name, i.Type, i.Directory)
	}
	if i.Slots < 0 || i.Slots == 0 && i.Type != InstanceLocal {
		t.Fatalf("instance %q has %d slots", i.Name, i.Slots)
	}
	if hook := i.Type == InstanceHook; hook != i.Provision.Set() || (i.Execute.Set() || i.Dispose.Set()) && !hook {
		t.Fatalf("instance %q of type %s has hooks %v, %v, %v", i.Name, i.Type, i.Provision, i.Execute, i.Dispose)
	}
	for _, v := range append(slices.Clone(i.Env), i.Directory, i.Setup.Text, i.Provision.Text) {
		if strings.ContainsRune(v, 0) {
			t.Fatalf("instance %q has a NUL in %q", i.Name, v)
		}
	}
}

// corpus has the odd files that the parser is held against ConfigParser with.
var corpus = []string{
	"",
	"[DEFAULT]\n",
	"[DEFAULT]\ntest_command=python -m subunit.run $LISTOPT $IDOPTION\ntest_id_option=--load-list $IDFILE\n",
	"a=1",
	"\n\n# only\n  ; comments\n",
	" [DEFAULT]\n  a=1\n   b=2\n c=3\n",
	"[DEFAULT]\na=1\n [x]\n b=2\n",
	"[DEFAULT]\n a=1\n[x]\nb=2\n",
	"[x]\n  a=1\n  b=2\n",
	"[DEFAULT]\na = 1\n\n\n  2\n\nb=3\n",
	"[DEFAULT]\na\n",
	"[DEFAULT]\na=1\nb\n  c\n",
	"[DEFAULT]\n=1\n  2\n",
	"[DEFAULT]\n a : = 1\nb=:2\n",
	"[DEFAULT]\na=%(b)s%(B)s\nb=%%(c)s\n",
	"[DEFAULT]\na=%(b )s\nb=1\n",
	"[DEFAULT]\na=%(b\n  c)s\n",
	"[DEFAULT]\na=%\n",
	"[DEFAULT]\na=%(missing)s\n",
	"[DEFAULT]\na=%(b)s\nb=%(a)s\n",
	"[DEFAULT]\na0=%%\na1=%(a0)s\na2=%(a1)s\na3=%(a2)s\na4=%(a3)s\na5=%(a4)s\na6=%(a5)s\na7=%(a6)s\na8=%(a7)s\n" +
		"a9=%(a8)s\nb0=%(a9)s\nb1=%(b0)s\n",
	"[DEFAULT]\na=1\n[x]\na=2\nb=%(a)s%(c)s\n[DEFAULT]\nc=3\n",
	"[x]\n[x]\n",
	"[DEFAULT]\n[DEFAULT]\n",
	"[DEFAULT]\na=1\n[DEFAULT]\nA=2\n",
	"[x]\na=1\n[DEFAULT]\na=2\n",
	"[]\n",
	"[DEFAULT]\n[]\n",
	"[]]\na=1\n",
	"[a]b]c\na=1\n",
	"[a=b\n",
	"[DEFAULT]\n[a=b\n",
	"[ x ]\na=1\n",
	"[default]\na=1\n",
	"[DEFAULT]\r\na=1\r\n  2\r\n\r\n",
	"[DEFAULT]\ra=1\r",
	"[DEFAULT]\na=\u00a01\u00a0\n\u00a0b=2\n\u3000c=3\n",
	"[DEFAULT]\na=1\x1c\n\x1db=2\n",
	"[DEFAULT]\na=1\x0b2\x0c3\u20284\u00855\n",
	"[DEFAULT]\nÄ=1\nä=2\n",
	"[DEFAULT]\na=\x00\n",
	"[DEFAULT]\n\x00=1\n",
	"\ufeff[DEFAULT]\n",
	"[DEFAULT]\na=\xff\n",
	"[DEFAULT]\na=x\n#no\n  #no\n  y\n;no\n  z # yes\n",
	"[DEFAULT]\na=x\n  b=y\n  [z]\n  =\n",
	"[DEFAULT]\n\ta=1\n  b=2\n",
	"[DEFAULT]\ntest_command=OS_STDOUT_CAPTURE=${OS_STDOUT_CAPTURE:-1} \\\n" +
		"             ${PYTHON:-python} -m subunit.run discover -t ./ . $LISTOPT $IDOPTION\n",
	"[DEFAULT]\nsetup=a %(b)s\nenv.Db=x\nENV.DB=y\n[instance a]\nb=1\nenv.Db=%(env.DB)s%%\n[instance b]\nB=2\nSetup:c\n",
	"[DEFAULT]\nenv.A=1\nEnv.A=2\n",
	"[DEFAULT]\ninstance_provision=p $INSTANCE_COUNT\ninstance_execute=ssh $INSTANCE_ID $COMMAND\n" +
		"instance_dispose=rm $INSTANCE_IDS\nprovision_timeout=1m\n[instance a]\ntype=hook\nslots=3\n",
	"[instance a]\nhost=h\nslots=5\ndirectory=~/src\nsetup=. x\n  y\nsync=yes\nsync_exclude=*.o a/\n" +
		"relay=no\nprofiles=p\n[instance b]\ntype=local\ndirectory=../x\n",
	"[instance]\n[instance -a]\nhost=-x\n[instance\ta]\n[ instance b ]\n",
}
