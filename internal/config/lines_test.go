package config

import "testing"

func TestLineOf(t *testing.T) {
	c, err := loadText(t, `[DEFAULT]
directory=src/shop
host=nobody
instance_provision=p
instance_execute=$INSTANCE_ID $COMMAND
instance_dispose=$INSTANCE_IDS

[instance a]
host=a.example
env.DB=x

[instance b]
directory=elsewhere

[instance here]
type=local

[instance vm]
type=hook
instance_execute=own $INSTANCE_ID $COMMAND
`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		instance, option string
		want             int
	}{
		{"a", "host", 9},
		{"a", "directory", 2},
		{"a", "env.DB", 10},
		{"a", "slots", 8},
		{"b", "directory", 13},
		{"b", "host", 12}, // [DEFAULT]'s is not for sections
		{"here", "directory", 15},
		{"vm", "instance_provision", 4},
		{"vm", "instance_execute", 20},
		{"vm", "provision_timeout", 18},
		{"", "instance_execute", 5},
		{"", "provision_timeout", 0},
	}
	for _, test := range tests {
		of := c.Hooks
		for i := range c.Instances {
			if c.Instances[i].Name == test.instance {
				of = &c.Instances[i]
			}
		}
		if got := c.LineOf(of, test.option); got != test.want {
			t.Errorf("%s of %q: got line %d; want %d", test.option, test.instance, got, test.want)
		}
	}
	if got := (&Config{}).LineOf(&Instance{Line: 3}, "host"); got != 3 {
		t.Errorf("of a Config that was not read: got line %d; want 3", got)
	}
}
