package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInstances(t *testing.T) {
	c, err := loadText(t, `[DEFAULT]
test_command=x
Setup=. %(venv)s/bin/activate
venv=.venv
slots=2
env.DB=sqlite
env.Path=/opt/bin

[instance desktop]
TYPE=ssh
Host : desktop-nova.lxc
Slots=5
directory=~/source/openstack/nova/
setup=. .tox/py3/bin/activate
    ulimit -n 4096
sync=Yes
sync_exclude=*.log  build/
    docs/_build
relay=on
env.DB=postgres 100%%
ENV.path=small
env.EMPTY=

[instance here]
type=local
directory=../nova
slots=3

[instance  laptop]

[instance slurm]
instance_provision=salloc %(args)s $INSTANCE_COUNT
instance_execute=srun $INSTANCE_ID $COMMAND
instance_dispose=scancel $INSTANCE_IDS
args=-n
dispose_timeout=30
`)
	if err != nil {
		t.Fatal(err)
	}
	inherited := Value{". .venv/bin/activate", 3}
	want := []Instance{
		{Name: "desktop", Line: 9, Type: InstanceSSH, Host: "desktop-nova.lxc", Slots: 5,
			Directory: "source/openstack/nova", Setup: Value{". .tox/py3/bin/activate\nulimit -n 4096", 14},
			Env:  []string{"Path=/opt/bin", "DB=postgres 100%", "path=small", "EMPTY="},
			Sync: true, SyncExclude: []string{"*.log", "build/", "docs/_build"}, Relay: true},
		{Name: "here", Line: 24, Type: InstanceLocal, Slots: 3, Directory: "../nova", Setup: inherited,
			Env: []string{"DB=sqlite", "Path=/opt/bin"}},
		{Name: "laptop", Line: 29, Type: InstanceSSH, Host: "laptop", Slots: 2, Setup: inherited,
			Env: []string{"DB=sqlite", "Path=/opt/bin"}},
		{Name: "slurm", Line: 31, Type: InstanceHook, Slots: 2,
			Provision: Value{"salloc -n $INSTANCE_COUNT", 32}, Execute: Value{"srun $INSTANCE_ID $COMMAND", 33},
			Dispose:          Value{"scancel $INSTANCE_IDS", 34},
			ProvisionTimeout: DefaultProvisionTimeout, DisposeTimeout: 30 * time.Second},
	}
	if diff := cmp.Diff(want, c.Instances); diff != "" {
		t.Errorf("instances differ (-want +got):\n%s", diff)
	}
	if c.Hooks != nil {
		t.Errorf("got hooks %v; want none", c.Hooks)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("got warnings %s; want none", withHints(c.Warnings))
	}
	if err := c.CheckRun(c.Profiles); err != nil {
		t.Errorf("got %v of CheckRun; want nil", err)
	}
}

func TestInstanceDefaults(t *testing.T) {
	c, err := loadText(t, "[instance a]\n[ instance b ]\ntype=local\n[instance\tc]\ninstance_provision=p\n"+
		"instance_execute=$INSTANCE_ID $COMMAND\ninstance_dispose=$INSTANCE_IDS\n[instance d]\nhost=\ntype=\nslots=\n"+
		"directory=~\nsync=\nrelay=no\n[instance e]\nhost=a\ndirectory=~//x\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Instance{
		{Name: "a", Line: 1, Type: InstanceSSH, Host: "a", Slots: 1},
		{Name: "b", Line: 2, Type: InstanceLocal},
		{Name: "c", Line: 4, Type: InstanceHook, Slots: 1, Provision: Value{"p", 5},
			Execute: Value{"$INSTANCE_ID $COMMAND", 6}, Dispose: Value{"$INSTANCE_IDS", 7},
			ProvisionTimeout: 10 * time.Minute, DisposeTimeout: 2 * time.Minute},
		{Name: "d", Line: 8, Type: InstanceSSH, Host: "d", Slots: 1},
		{Name: "e", Line: 15, Type: InstanceSSH, Host: "a", Slots: 1, Directory: "x"},
	}
	if diff := cmp.Diff(want, c.Instances); diff != "" {
		t.Errorf("instances differ (-want +got):\n%s", diff)
	}
}

// TestDefaultSectionFallsThrough is about what [DEFAULT] must not do to sections
// of another type.
func TestDefaultSectionFallsThrough(t *testing.T) {
	const hooks = "[DEFAULT]\n" +
		"instance_provision=p\ninstance_execute=$INSTANCE_ID $COMMAND\ninstance_dispose=$INSTANCE_IDS\n"
	inherited := Instance{Type: InstanceHook, Slots: 1, Provision: Value{"p", 2},
		Execute: Value{"$INSTANCE_ID $COMMAND", 3}, Dispose: Value{"$INSTANCE_IDS", 4},
		ProvisionTimeout: 7 * time.Second, DisposeTimeout: 2 * time.Minute}
	tests := []struct {
		name  string
		text  string
		hooks bool
		want  Instance
	}{
		{"hooks and timeouts don't reach ssh", hooks + "provision_timeout=7\n[instance a]\n", true,
			Instance{Name: "a", Line: 6, Type: InstanceSSH, Host: "a", Slots: 1}},
		{"nor local", hooks + "provision_timeout=7\n[instance a]\ntype=local\n", true,
			Instance{Name: "a", Line: 6, Type: InstanceLocal}},
		{"nor hooks that don't say their type", hooks + "[instance a]\ninstance_provision=q\n", true,
			Instance{Name: "a", Line: 5, Type: InstanceHook, Slots: 1, Provision: Value{"q", 6},
				ProvisionTimeout: 10 * time.Minute, DisposeTimeout: 2 * time.Minute}},
		{"type=hook takes all", hooks + "provision_timeout=7\n[instance a]\ntype=hook\n", true, func() Instance {
			i := inherited
			i.Name, i.Line = "a", 6
			return i
		}()},
		{"or what is missing", hooks + "provision_timeout=7\n" +
			"[instance a]\ntype=hook\ninstance_provision=q\ndispose_timeout=1m\n", true, func() Instance {
			i := inherited
			i.Name, i.Line, i.Provision, i.DisposeTimeout = "a", 6, Value{"q", 8}, time.Minute
			return i
		}()},
		{"common hooks without a way to get instances",
			"[DEFAULT]\ninstance_execute=$INSTANCE_ID $COMMAND\n[instance a]\ntype=hook\n" +
				"instance_provision=p\ninstance_dispose=$INSTANCE_IDS\n", false,
			Instance{Name: "a", Line: 3, Type: InstanceHook, Slots: 1, Provision: Value{"p", 5},
				Execute: Value{"$INSTANCE_ID $COMMAND", 2}, Dispose: Value{"$INSTANCE_IDS", 6},
				ProvisionTimeout: 10 * time.Minute, DisposeTimeout: 2 * time.Minute}},
		{"type, host and profiles are a section's own",
			"[DEFAULT]\ntype=local\nhost=b\nprofiles=p\ntest_command=%(host)s\n[profile p]\n[instance a]\n", false,
			Instance{Name: "a", Line: 7, Type: InstanceSSH, Host: "a", Slots: 1}},
		{"what is for ssh doesn't reach local", "[DEFAULT]\nsync=yes\nrelay=yes\nsync_exclude=a\ndirectory=~/x\n" +
			"[instance a]\ntype=local\n", false, Instance{Name: "a", Line: 6, Type: InstanceLocal}},
		{"what is for ssh doesn't reach hooks", "[DEFAULT]\nsync=yes\nrelay=yes\ndirectory=x\nsetup=y\nenv.X=z\n" +
			"[instance a]\ninstance_provision=p\n", false,
			Instance{Name: "a", Line: 7, Type: InstanceHook, Slots: 1, Provision: Value{"p", 8},
				ProvisionTimeout: 10 * time.Minute, DisposeTimeout: 2 * time.Minute}},
		{"the rest does", "[DEFAULT]\nsync=yes\nrelay=yes\nsync_exclude=a b\ndirectory=x\nslots=4\n" +
			"[instance a]\nsync_exclude=\n", false,
			Instance{Name: "a", Line: 7, Type: InstanceSSH, Host: "a", Slots: 4, Directory: "x", Sync: true, Relay: true}},
		{"an interpolation is the section's", "[DEFAULT]\nuser=me\ndirectory=/home/%(user)s/x\n" +
			"[instance a]\nuser=you\n", false,
			Instance{Name: "a", Line: 4, Type: InstanceSSH, Host: "a", Slots: 1, Directory: "/home/you/x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := loadText(t, test.text)
			if err != nil {
				t.Fatal(withHints(asErrors(err)))
			}
			if len(c.Instances) != 1 {
				t.Fatalf("got %d instances; want 1", len(c.Instances))
			}
			if diff := cmp.Diff(test.want, c.Instances[0]); diff != "" {
				t.Errorf("instance differs (-want +got):\n%s", diff)
			}
			if got := c.Hooks != nil; got != test.hooks {
				t.Errorf("got hooks of [DEFAULT]: %v; want %v", got, test.hooks)
			}
		})
	}
}

func TestInstanceErrors(t *testing.T) {
	const name = "(an instance's name has letters from a to z, digits, dots, underscores and dashes"
	const notHere = " has no place in [instance a] of type="
	tests := []struct {
		name string
		text string
		want []string
	}{
		{"no name", "[instance]\n[instance  ]\n", []string{
			`1: section [instance] has no name (write [instance NAME])`,
			`2: section [instance  ] has no name (write [instance NAME])`}},
		{"characters of names", "[instance a b]\n[instance a/b]\n[instance ../x]\n[instance -a]\n" +
			"[instance é]\n[instance a:1]\n",
			[]string{
				`1: section [instance a b]: its name has ' ' in it ` + name + `; the host's own can stand in "host")`,
				`2: section [instance a/b]: its name has '/' in it ` + name + `; the host's own can stand in "host")`,
				`3: section [instance ../x]: its name begins with "." ` + name + `, and begins with no dot or dash)`,
				`4: section [instance -a]: its name begins with "-" ` + name + `, and begins with no dot or dash)`,
				`5: section [instance é]: its name has 'é' in it ` + name + `; the host's own can stand in "host")`,
				`6: section [instance a:1]: its name has ':' in it ` + name + `; the host's own can stand in "host")`}},
		{"long name", "[instance " + strings.Repeat("a", 129) + "]\n", []string{
			`1: section [instance aaaaaaaaaaaaaaaaaaaa…]: its name is longer than 128 bytes ` +
				`(the host's own can stand in "host")`}},
		{"name twice", "[instance a]\n[instance b]\n[instance  a]\n", []string{
			`3: section [instance  a] has the name of the one in line 1 (give each section a name of its own)`}},
		{"section twice", "[instance a]\n[instance a]\n", []string{
			`2: section [instance a] was already begun in line 1 (put all of its options into one place)`}},
		{"type", "[instance a]\ntype=shh\nslots=0\nfoo=1\n[instance b]\ntype=%(x)s\n", []string{
			`2: type "shh" is not known; did you mean "ssh"? (the types are ssh, local, hook)`,
			`4: option "foo" is not known in [instance a]`,
			`6: option "type": "%(x)s" refers to an option that is not set ` +
				`(set "x" in [DEFAULT], or write %%(x)s for the text itself)`}},
		{"unknown options", "[instance a]\nslot=3\nenvX=1\ntest_command=x\nworker_comand=x\n", []string{
			`2: option "slot" is not known in [instance a]; did you mean "slots"?`,
			`3: option "envx" is not known in [instance a]`,
			`4: option "test_command" is not known in [instance a] (put test_command into [DEFAULT])`,
			`5: option "worker_comand" is not known in [instance a]`}},
		{"hosts", "[instance a]\nhost=-oProxyCommand=x\n[instance b]\nhost=x y\n[instance c]\nhost=x\n  y\n" +
			"[instance d]\nhost=x\x00\n[instance e]\nhost=x\x1b[m\n[instance f]\nhost=x\u200b\n[instance g]\nhost=x # y\n" +
			"[instance h]\nhost=" + strings.Repeat("x", 256) + "\n", []string{
			`2: option "host": "-oProxyCommand=x" begins with a dash (programs would take such a host for an option)`,
			`4: option "host": there is ' ' in it (write one host; comments stand on lines of their own)`,
			`6: option "host": there is '\n' in it (write one host; comments stand on lines of their own)`,
			`9: option "host": there is '\x00' in it (write one host; comments stand on lines of their own)`,
			`11: option "host": there is '\x1b' in it (write one host; comments stand on lines of their own)`,
			`13: option "host": there is '\u200b' in it (write one host; comments stand on lines of their own)`,
			`15: option "host": there is ' ' in it (write one host; comments stand on lines of their own)`,
			`17: option "host": it is longer than 255 bytes`}},
		{"slots", "[instance a]\nslots=0\n[instance b]\ntype=local\nslots=-1\n[instance c]\nslots=many\n" +
			"[instance d]\nslots=10001\n[instance e]\nslots=99999999999999999999\n", []string{
			`2: option "slots": "0" is no number of workers (write a number of slots from 1 to 10000)`,
			`5: option "slots": "-1" is no number of workers (write a number of slots from 1 to 10000)`,
			`7: option "slots": "many" is no number of workers (write a number of slots from 1 to 10000)`,
			`9: option "slots": "10001" is no number of workers (write a number of slots from 1 to 10000)`,
			`11: option "slots": "99999999999999999999" is no number of workers (write a number of slots from 1 to 10000)`}},
		{"directories", "[instance a]\ndirectory=a\n  b\n[instance b]\ndirectory=~you/x\n[instance c]\ntype=local\n" +
			"directory=~/x\n[instance d]\ndirectory=a\x00b\n[instance e]\ndirectory=%(x\nsync=yes\n", []string{
			`2: option "directory" has a control character (write the directory as one path, on one line)`,
			`5: option "directory": the "~" of "~you/x" stands for nothing here (write the directory's whole path)`,
			`8: option "directory": the "~" of "~/x" stands for nothing here (write the directory's whole path)`,
			`10: option "directory" has a control character (write the directory as one path, on one line)`,
			`12: option "directory": "%(x" is no reference ` +
				`(write %(option)s to refer to an option, and %% for a percent sign)`}},
		{"commands and variables", "[instance a]\nsetup=a\x00\nsync_exclude=\x00\nenv.=1\nenv.1X=2\nenv.A-B=3\nenv.É=4\n" +
			"env.A B=5\nenv.OK=a\x00b\nenv.BAD=50%\n", []string{
			`2: option "setup" has a NUL character`,
			`3: option "sync_exclude" has a NUL character`,
			`4: option "env.": "" is no name of a variable ` + variableRule,
			`5: option "env.1X": "1X" is no name of a variable ` + variableRule,
			`6: option "env.A-B": "A-B" is no name of a variable ` + variableRule,
			`7: option "env.É": "É" is no name of a variable ` + variableRule,
			`8: option "env.A B": "A B" is no name of a variable ` + variableRule,
			`9: option "env.OK" has a NUL character`,
			`10: option "env.BAD": "%" stands alone (write %% for a percent sign)`}},
		{"flags", "[instance a]\nsync=perhaps\nrelay=2\n", []string{
			`2: option "sync": "perhaps" is neither true nor false (write true or false)`,
			`3: option "relay": "2" is neither true nor false (write true or false)`}},
		{"sync without a place of its own", "[instance a]\nsync=yes\n[instance b]\nsync=yes\ndirectory=\n" +
			"[instance c]\nsync=yes\ndirectory=/\n", []string{
			`2: [instance a] has sync=yes, but no directory for the tree (add a line such as directory=src/project)`,
			`4: [instance b] has sync=yes, but no directory for the tree (add a line such as directory=src/project)`,
			`8: [instance c] has sync=yes, but the tree can't be brought to "/" ` + syncRule}},
		{"sync of [DEFAULT]", "[DEFAULT]\nsync=yes\n[instance a]\n[instance b]\ntype=local\n[instance c]\n", []string{
			`2: [instance a] has sync=yes, but no directory for the tree (add a line such as directory=src/project)`,
			`2: [instance c] has sync=yes, but no directory for the tree (add a line such as directory=src/project)`}},
		{"options of others in local", "[instance a]\ntype=local\nhost=b\nsync=no\nsync_exclude=x\nrelay=yes\n" +
			"instance_provision=x\ninstance_execute=x\ninstance_dispose=x\nprovision_timeout=1\ndispose_timeout=1\n", []string{
			`3: option "host"` + notHere + `local (host is for type=ssh)`,
			`4: option "sync"` + notHere + `local (sync is for type=ssh)`,
			`5: option "sync_exclude"` + notHere + `local (sync_exclude is for type=ssh)`,
			`6: option "relay"` + notHere + `local (relay is for type=ssh)`,
			`7: option "instance_provision"` + notHere + `local (instance_provision is for type=hook)`,
			`8: option "instance_execute"` + notHere + `local (instance_execute is for type=hook)`,
			`9: option "instance_dispose"` + notHere + `local (instance_dispose is for type=hook)`,
			`10: option "provision_timeout"` + notHere + `local (provision_timeout is for type=hook)`,
			`11: option "dispose_timeout"` + notHere + `local (dispose_timeout is for type=hook)`}},
		{"options of others in ssh", "[instance a]\ntype=ssh\ninstance_provision=x\ninstance_execute=x\n" +
			"instance_dispose=x\nprovision_timeout=1\ndispose_timeout=1\n", []string{
			`3: option "instance_provision"` + notHere + `ssh (instance_provision is for type=hook)`,
			`4: option "instance_execute"` + notHere + `ssh (instance_execute is for type=hook)`,
			`5: option "instance_dispose"` + notHere + `ssh (instance_dispose is for type=hook)`,
			`6: option "provision_timeout"` + notHere + `ssh (provision_timeout is for type=hook)`,
			`7: option "dispose_timeout"` + notHere + `ssh (dispose_timeout is for type=hook)`}},
		{"options of others in hook", "[instance a]\ninstance_provision=x\nhost=b\ndirectory=x\nsetup=x\nsync=no\n" +
			"sync_exclude=x\nrelay=no\nenv.X=1\n", []string{
			`3: option "host"` + notHere + `hook (say in instance_execute where $COMMAND runs)`,
			`4: option "directory"` + notHere + `hook (put a cd into instance_execute)`,
			`5: option "setup"` + notHere + `hook (put these commands into instance_execute)`,
			`6: option "sync"` + notHere + `hook (bring the tree over in instance_provision)`,
			`7: option "sync_exclude"` + notHere + `hook (bring the tree over in instance_provision)`,
			`8: option "relay"` + notHere + `hook (relay is for type=ssh)`,
			`9: option "env.X"` + notHere + `hook (set variables in instance_execute)`}},
		{"all together, by line", "[instance b]\nslots=0\n[DEFAULT]\nworker=x\nslots=no\n[instance a]\nsync=yes\n", []string{
			`2: option "slots": "0" is no number of workers (write a number of slots from 1 to 10000)`,
			`4: worker "x" is not known (the workers are auto, stream, batch, python, go, pytest, tap)`,
			`5: option "slots": "no" is no number of workers (write a number of slots from 1 to 10000)`,
			`7: [instance a] has sync=yes, but no directory for the tree (add a line such as directory=src/project)`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := loadText(t, test.text)
			got := strings.Split(withHints(asErrors(err)), "\n")
			for i := range got {
				got[i] = strings.TrimPrefix(got[i], Name+":")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("errors differ (-want +got):\n%s", diff)
			}
		})
	}
}

const (
	variableRule = "(a variable's name has letters from a to z, digits and underscores, and begins with no digit)"
	syncRule     = `(write a directory of its own, without "..", such as src/project)`
)

// TestSyncDirectories is about where the tree may be brought.
func TestSyncDirectories(t *testing.T) {
	tests := []struct {
		directory string
		want      bool
	}{
		{"src/nova", true}, {"/srv/nova", true}, {"~/nova", true}, {"./nova", true}, {"nova/", true}, {"a..b", true},
		{"...", true}, {"$HOME", true}, {"a b", true},
		{"/", false}, {"//", false}, {"/./", false}, {".", false}, {"./", false}, {"./.", false}, {"~", false},
		{"~/", false}, {"~//", false}, {"~/.", false}, {"~/./", false}, {"..", false}, {"../nova", false},
		{"a/..", false}, {"a/../b", false}, {"/srv/../etc", false}, {"~/..", false}, {"~/../you", false},
	}
	for _, test := range tests {
		_, err := loadText(t, "[instance a]\nsync=yes\ndirectory="+test.directory+"\n")
		if got := err == nil; got != test.want {
			t.Errorf("sync to %q: got accepted %v (%v); want %v", test.directory, got, err, test.want)
			continue
		}
		want := `.testr.conf:3: [instance a] has sync=yes, but the tree can't be brought to "` + test.directory + `"`
		if err != nil && err.Error() != want {
			t.Errorf("sync to %q: got %v; want %s", test.directory, err, want)
		}
		if _, err := loadText(t, "[instance a]\nsync=no\ndirectory="+test.directory+"\n"); err != nil {
			t.Errorf("directory %q without sync: got %v; want it accepted", test.directory, err)
		}
	}
}

func TestInstanceWarnings(t *testing.T) {
	tests := []struct {
		name string
		text string
		want string
	}{
		{"sync_exclude alone", "[instance a]\nsync_exclude=b\n",
			`.testr.conf:2: option "sync_exclude" has no effect without sync=yes`},
		{"sync_exclude for others", "[DEFAULT]\nsync_exclude=b\n[instance a]\n", ""},
		{"nobody is there for them", "[DEFAULT]\nslots=1\ndirectory=x\n",
			".testr.conf:2: option \"slots\" has no effect: there is no [instance NAME] that it is for\n" +
				".testr.conf:3: option \"directory\" has no effect: there is no [instance NAME] that it is for"},
		{"slots for the hooks of [DEFAULT]", "[DEFAULT]\nslots=1\ninstance_provision=p\n" +
			"instance_execute=$INSTANCE_ID $COMMAND\ninstance_dispose=$INSTANCE_IDS\n",
			".testr.conf:2: option \"slots\" has no effect: there is no [instance NAME] that it is for"},
		{"nobody of the type is there", "[DEFAULT]\nsync=yes\nslots=1\n[instance a]\ntype=local\n",
			".testr.conf:2: option \"sync\" has no effect: there is no [instance NAME] that it is for"},
		{"a section's own in [DEFAULT]", "[DEFAULT]\nhost=x\ntype=local\n[instance a]\n",
			".testr.conf:2: option \"host\" has no effect here: it stands in [instance NAME]\n" +
				".testr.conf:3: option \"type\" has no effect here: it stands in [instance NAME]"},
		{"they serve others", "[DEFAULT]\nhost=x\ndirectory=y\ntest_command=%(host)s %(directory)s\n" +
			"[instance a]\ntype=hook\ninstance_provision=p\ninstance_execute=%(base)s $INSTANCE_ID $COMMAND\n" +
			"instance_dispose=$INSTANCE_IDS\nbase=b\n", ""},
		{"an option that another one hides", "[DEFAULT]\nbase=x\n[instance a]\nbase=y\ndirectory=%(base)s\n",
			`.testr.conf:2: option "base" is not known`},
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

// asErrors is what Load found wrong; nil for any other error.
func asErrors(err error) Errors {
	var errs Errors
	_ = errors.As(err, &errs) // what it is not is compared with what was wanted
	return errs
}
