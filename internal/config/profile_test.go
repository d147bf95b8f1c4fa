package config

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestProfiles reads sections that have some of their options from [DEFAULT].
func TestProfiles(t *testing.T) {
	c, err := loadText(t, `[DEFAULT]
python=python3
test_command=%(python)s -m subunit.run discover . $LISTOPT $IDOPTION
test_id_option=--load-list $IDFILE
test_list_option=--list
timeout=90
retries=1
profiles=py34 old py34
keep_runs=100
keep_days=30
env.DB=sqlite
env.HOME=/x
[profile py27]
python=python2.7
env.DB=mysql
retries=
[profile py34]
[profile old]
tags=postgres  py27
 postgres
test_command=nose
worker=batch
timeout=2m
slow=0
[instance desktop]
profiles=py34 py27
[instance laptop]
`)
	if err != nil {
		t.Fatal(err)
	}
	suite := func(command string, line int) Suite {
		return Suite{TestCommand: Value{command, line}, TestIDOption: Value{"--load-list $IDFILE", 4},
			TestListOption: Value{"--list", 5}, Timeout: 90 * time.Second, Slow: time.Minute, Retries: 1, Worker: WorkerAuto}
	}
	const rest = " -m subunit.run discover . $LISTOPT $IDOPTION"
	py27, py34, old := suite("python2.7"+rest, 3), suite("python3"+rest, 3), suite("nose", 21)
	py27.Retries = 0
	old.Worker, old.WorkerLine, old.Timeout, old.Slow = WorkerBatch, 22, 2*time.Minute, 0
	want := []Profile{
		{Name: "py27", Line: 13, Tags: []string{"py27"}, Env: []string{"DB=mysql"}, Suite: py27},
		{Name: "py34", Line: 17, Tags: []string{"py34"}, Suite: py34},
		{Name: "old", Line: 18, Tags: []string{"postgres", "py27"}, Suite: old},
	}
	if diff := cmp.Diff(want, c.Profiles); diff != "" {
		t.Errorf("profiles differ (-want +got):\n%s", diff)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("got warnings %s; want none", withHints(c.Warnings))
	}
	got := [][]string{c.ByDefault, c.Env, c.Instances[0].Profiles, c.Instances[0].Env, c.Instances[1].Profiles,
		c.ProfileTags()["old"]}
	if diff := cmp.Diff([][]string{{"py34", "old"}, {"DB=sqlite", "HOME=/x"}, {"py34", "py27"}, {"DB=sqlite", "HOME=/x"},
		nil, {"postgres", "py27"}}, got); diff != "" {
		t.Errorf("lists differ (-want +got):\n%s", diff)
	}
	if !c.Sectioned() || len(c.ProfileTags()) != 3 || c.KeepRuns != 100 || c.KeepDays != 30 {
		t.Errorf("got sections %v, %d with tags, keep %d and %d; want true, 3, 100, 30",
			c.Sectioned(), len(c.ProfileTags()), c.KeepRuns, c.KeepDays)
	}
}

func TestChoose(t *testing.T) {
	const sections = "[profile py27]\n[profile py34]\n[profile pypy]\n"
	for _, test := range []struct {
		text   string
		chosen []string
		want   []string
		err    string
	}{
		{"", nil, []string{"default"}, ""},
		{"", []string{"default"}, []string{"default"}, ""},
		{"", []string{"py34"}, nil, `no profile "py34" is configured`},
		{sections, nil, []string{"py27", "py34", "pypy"}, ""},
		{"[DEFAULT]\nprofiles=pypy py27\n" + sections, nil, []string{"pypy", "py27"}, ""},
		{"[DEFAULT]\nprofiles=\n" + sections, nil, []string{"py27", "py34", "pypy"}, ""},
		{"[DEFAULT]\nprofiles=pypy\n" + sections, []string{"py34", "py27", "py34"}, []string{"py34", "py27"}, ""},
		{sections, []string{"py34", "py28"}, nil, `no profile "py28" is configured; did you mean "py27"?`},
		{sections, []string{"default"}, nil, `no profile "default" is configured`},
	} {
		c, err := loadText(t, test.text)
		if err != nil {
			t.Fatal(err)
		}
		profiles, err := c.Choose(test.chosen...)
		var got []string
		for _, p := range profiles {
			got = append(got, p.Name)
		}
		unknown, is := errors.AsType[*UnknownProfileError](err)
		switch {
		case err == nil && test.err == "" && cmp.Equal(got, test.want):
		case is && err.Error() == test.err && cmp.Equal(unknown.Known, c.ProfileNames()):
		default:
			t.Errorf("%q, chosen %q: got %q, %v; want %q, %q", test.text, test.chosen, got, err, test.want, test.err)
		}
	}
}

func TestProfileErrors(t *testing.T) {
	const names = "(a profile's name has no commas, white space or control characters)"
	const tags = "(write tags with white space between, such as tags=py34 postgres; " +
		"without the option it is the profile's name)"
	for _, test := range []struct{ name, text, want string }{
		{"no name", "[profile]\n", ".testr.conf:1: section [profile] has no name (write [profile NAME])"},
		{"reserved", "[profile Default]\n", ".testr.conf:1: section [profile Default]: the name is that of the profile " +
			"without tags (choose another one; what all profiles have in common stands in [DEFAULT])"},
		{"comma", "[profile a,b]\n", ".testr.conf:1: section [profile a,b]: its name has ',' in it " + names},
		{"space", "[profile a b]\n", ".testr.conf:1: section [profile a b]: its name has ' ' in it " + names},
		{"escape", "[profile a\x1b[m]\n", ".testr.conf:1: section [profile a\x1b[m]: its name has '\\x1b' in it " + names},
		{"twice", "[profile a]\n[profile  a]\ntags=b\n",
			".testr.conf:2: section [profile  a] has the name of the one in line 1 (give each section a name of its own)"},
		{"same tags", "[profile a]\ntags=y x\n[profile b]\ntags=x y x\n", ".testr.conf:4: profile b has the same tags as " +
			"profile a in line 1: x y (results are told apart by their tags: give each profile others)"},
		{"same tags by name", "[profile b]\ntags=a\n[profile a]\n", ".testr.conf:3: profile a has the same tags as " +
			"profile b in line 1: a (results are told apart by their tags: give each profile others)"},
		{"no tags", "[profile a]\ntags=\n", `.testr.conf:2: option "tags" has no tag ` + tags},
		{"comma in a tag", "[profile a]\ntags=b,c\n",
			`.testr.conf:2: option "tags": "b,c" has a comma or a control character in it ` + tags},
		{"NUL in a tag", "[profile a]\ntags=b\x00\n",
			`.testr.conf:2: option "tags": "b\x00" has a comma or a control character in it ` + tags},
		{"worker's tag", "[profile a]\ntags=b worker-0\n",
			`.testr.conf:2: option "tags": "worker-0" is a tag that testr itself gives to events (choose another one)`},
		{"relayed worker's tag", "[profile a]\ntags=b worker-1-0\n",
			`.testr.conf:2: option "tags": "worker-1-0" is a tag that testr itself gives to events (choose another one)`},
		{"attempt's tag", "[profile attempt-2]\n",
			`.testr.conf:1: option "tags": "attempt-2" is a tag that testr itself gives to events (choose another one)`},
		{"broken tags", "[profile a]\ntags=%(b)s\n",
			`.testr.conf:2: option "tags": "%(b)s" refers to an option that is not set ` +
				`(set "b" in [DEFAULT], or write %%(b)s for the text itself)`},
		{"unknown option", "[profile x]\ntest_comand=y\nenv.X=1\n",
			`.testr.conf:2: option "test_comand" is not known in [profile x]; did you mean "test_command"?`},
		{"variable", "[profile x]\nenv.1=y\n", `.testr.conf:2: option "env.1": "1" is no name of a variable ` + variableRule},
		{"for all profiles", "[profile x]\nfilter_tags=y\n", `.testr.conf:2: option "filter_tags" has no place in ` +
			`[profile x]: it is the same for all profiles (put filter_tags into [DEFAULT])`},
		{"profiles to run", "[DEFAULT]\nprofiles=py34 py2\n[profile py27]\n[profile py34]\n",
			`.testr.conf:2: option "profiles": there is no section [profile py2]; did you mean "py27"? ` +
				`(begin one, or take the name away)`},
		{"profiles of an instance", "[profile py34]\n[instance a]\nprofiles=b\n",
			`.testr.conf:3: option "profiles": there is no section [profile b] (begin one, or take the name away)`},
		{"its commands", "[DEFAULT]\ntest_command=x $IDOPTION\n[profile a]\ntest_id_option=$IDFILE\n[profile b]\n",
			`.testr.conf:2: "test_command" has $IDOPTION, but "test_id_option" is not set ` +
				`(add a line such as test_id_option=--load-list $IDFILE)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := loadText(t, test.text)
			if got := withHints(asErrors(err)); got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
		})
	}
}

// TestCheckRunOfProfiles wants a command of the profiles that run, and of no others.
func TestCheckRunOfProfiles(t *testing.T) {
	c, err := loadText(t, "[profile a]\ntest_command=x\n[profile b]\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckRun(c.Profiles[:1]); err != nil {
		t.Errorf("got %v for profile a; want nil", err)
	}
	const want = `.testr.conf:3: option "test_command" is not set for profile b`
	if err := c.CheckRun(c.Profiles); err == nil || err.Error() != want {
		t.Errorf("got %v for both; want %s", err, want)
	}
}
