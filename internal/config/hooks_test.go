package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHooks(t *testing.T) {
	const all = "instance_provision=%(prefix)s-get $INSTANCE_COUNT\nprefix=vm\n" +
		"instance_execute=ssh $INSTANCE_ID -- $COMMAND\ninstance_dispose=vm-put\n    $INSTANCE_IDS\n"
	hooks := Instance{Type: InstanceHook, Provision: Value{"vm-get $INSTANCE_COUNT", 2},
		Execute: Value{"ssh $INSTANCE_ID -- $COMMAND", 4}, Dispose: Value{"vm-put\n$INSTANCE_IDS", 5},
		ProvisionTimeout: 10 * time.Minute, DisposeTimeout: 2 * time.Minute}
	tests := []struct {
		name string
		text string
		want *Instance
	}{
		{"none", "test_command=x\n", nil},
		{"empty ones", "instance_provision=\ninstance_execute=\ninstance_dispose=\n", nil},
		{"timeouts alone", "provision_timeout=3\n", nil},
		{"all", all, &hooks},
		{"timeouts", all + "provision_timeout=0\nDispose_Timeout=1h\nslots=3\n", func() *Instance {
			h := hooks
			h.ProvisionTimeout, h.DisposeTimeout = 0, time.Hour
			return &h
		}()},
		{"what is not for hooks", all + "directory=x\nsetup=y\nenv.X=z\nsync=yes\nrelay=yes\nhost=h\n[instance a]\n", &hooks},
		{"beside a section of hooks", all + "[instance a]\ninstance_provision=x\ndispose_timeout=9\n", &hooks},
		{"without execute", "instance_provision=x\n", &Instance{Type: InstanceHook, Provision: Value{"x", 2},
			ProvisionTimeout: 10 * time.Minute, DisposeTimeout: 2 * time.Minute}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := loadText(t, "[DEFAULT]\n"+test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, c.Hooks); diff != "" {
				t.Errorf("hooks differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHookTimeouts(t *testing.T) {
	c, err := loadText(t, "[DEFAULT]\nprovision_timeout=1m\n[instance a]\ninstance_provision=x\ndispose_timeout=1s\n")
	if err != nil {
		t.Fatal(err)
	}
	got := []time.Duration{c.ProvisionTimeout, c.DisposeTimeout,
		c.Instances[0].ProvisionTimeout, c.Instances[0].DisposeTimeout}
	want := []time.Duration{time.Minute, DefaultDisposeTimeout, time.Minute, time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("timeouts differ (-want +got):\n%s", diff)
	}
}

func TestHookErrors(t *testing.T) {
	const remedy = "(add instance_provision, a command that prints the names of instances"
	tests := []struct {
		name string
		text string
		want string
	}{
		{"execute alone", "[DEFAULT]\n\ninstance_execute=x\ninstance_dispose=y\n",
			`.testr.conf:3: [DEFAULT] has "instance_execute", but no "instance_provision" ` + remedy + ")"},
		{"dispose alone", "[DEFAULT]\ninstance_provision=\ninstance_dispose=y\n",
			`.testr.conf:3: [DEFAULT] has "instance_dispose", but no "instance_provision" ` + remedy + ")"},
		{"in a section", "[instance a]\ninstance_execute=x\n",
			`.testr.conf:2: [instance a] has "instance_execute", but no "instance_provision" ` + remedy + ")"},
		{"[DEFAULT] has it", "[DEFAULT]\ninstance_provision=p\n[instance a]\ninstance_execute=x\n",
			`.testr.conf:4: [instance a] has "instance_execute", but no "instance_provision" ` + remedy +
				"; with type=hook, that of [DEFAULT] holds)"},
		{"type alone", "[instance a]\nslots=3\ntype=hook\n",
			`.testr.conf:1: [instance a] has type=hook, but no "instance_provision" ` + remedy + ")"},
		{"common ones that are never complete", "[DEFAULT]\ninstance_execute=x\n[instance a]\ntype=hook\n[instance b]\n",
			`.testr.conf:2: [instance a] has "instance_execute", but no "instance_provision" ` + remedy + ")"},
		{"NUL", "[DEFAULT]\ninstance_provision=a\x00\n", `.testr.conf:2: option "instance_provision" has a NUL character`},
		{"timeouts", "[DEFAULT]\nprovision_timeout=soon\ninstance_provision=x\n[instance a]\ntype=hook\ndispose_timeout=-1\n",
			`.testr.conf:2: option "provision_timeout": "soon" is no length of time ` +
				"(want a length of time such as 90, 1.5s, 2m or 1h30m, or 0 for none)\n" +
				`.testr.conf:6: option "dispose_timeout": "-1" is no length of time ` +
				"(want a length of time such as 90, 1.5s, 2m or 1h30m, or 0 for none)"},
		{"disposing for ever", "[DEFAULT]\nprovision_timeout=0\ndispose_timeout=0s\n",
			`.testr.conf:3: option "dispose_timeout": "0s" is no length of time that it could end after ` +
				"(write a dispose_timeout such as 30, 2m or 1h)"},
		{"interpolation, once for all sections", "[DEFAULT]\ninstance_provision=50%\n" +
			"[instance a]\ntype=hook\ninstance_provision=x\n" +
			"[instance b]\ntype=hook\ninstance_provision=y\ninstance_dispose=%s\n",
			".testr.conf:2: option \"instance_provision\": \"%\" stands alone (write %% for a percent sign)\n" +
				".testr.conf:9: option \"instance_dispose\": \"%\" stands alone (write %% for a percent sign)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := loadText(t, test.text)
			if got := withHints(asErrors(err)); got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
		})
	}
}

func TestHookWarnings(t *testing.T) {
	tests := []struct {
		name string
		text string
		want string
	}{
		{"none", "[DEFAULT]\ninstance_provision=p\ninstance_execute=$INSTANCE_ID $COMMAND\n" +
			"instance_dispose=$INSTANCE_IDS\n", ""},
		{"provision alone", "[DEFAULT]\ninstance_provision=p\n",
			".testr.conf:2: \"instance_provision\" is set, but \"instance_execute\" is not: the tests run on this machine\n" +
				`.testr.conf:2: "instance_provision" is set, but "instance_dispose" is not: instances are not given back`},
		{"nothing in them", "[DEFAULT]\ninstance_provision=p\ninstance_execute=x\ninstance_dispose=$INSTANCE_ID\n",
			".testr.conf:3: \"instance_execute\" has no $COMMAND: it runs something else than the tests\n" +
				".testr.conf:3: \"instance_execute\" has no $INSTANCE_ID: all instances are the same to it\n" +
				`.testr.conf:4: "instance_dispose" has no $INSTANCE_IDS: it does not learn what to give back`},
		{"braces", "[instance a]\ninstance_provision=p\ninstance_execute=${INSTANCE_ID} $COMMAND\n" +
			"instance_dispose=$INSTANCE_IDS\n",
			`.testr.conf:3: "instance_execute" has no $INSTANCE_ID: all instances are the same to it`},
		{"the same hooks twice", "[DEFAULT]\ninstance_provision=p\ninstance_execute=$INSTANCE_ID\n" +
			"instance_dispose=$INSTANCE_IDS\n[instance a]\ntype=hook\n",
			".testr.conf:3: \"instance_execute\" has no $COMMAND: it runs something else than the tests\n" +
				`.testr.conf:5: [instance a] has the hooks of [DEFAULT], which get instances of their own as well`},
		{"others for a section", "[DEFAULT]\ninstance_provision=p\ninstance_execute=$INSTANCE_ID $COMMAND\n" +
			"instance_dispose=$INSTANCE_IDS\n[instance a]\ntype=hook\ninstance_provision=q\n", ""},
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
