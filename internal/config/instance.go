package config

import "time"

// The values of Instance.Type.
const (
	InstanceSSH   = "ssh"   // a host that is reached by SSH
	InstanceLocal = "local" // this machine
	InstanceHook  = "hook"  // whatever three commands can get
)

// Instance is a section [instance NAME]: where workers run.
type Instance struct {
	Name string
	Line int    // of the section's header; 0 for the hooks of [DEFAULT]
	Type string // one of the Instance constants

	Host string // of an SSH host: its name, which the user's ssh configuration may know
	// Slots is how many workers it has at a time, and so how many instances hooks
	// get. It is 0 for as many as there are processors, on this machine, and for as
	// many as there are to be workers, of the hooks of [DEFAULT].
	Slots int
	// Directory is where the tests run: on an SSH host as it has it, relative to
	// the home directory there; on this machine relative to Root.
	Directory string
	Setup     Value    // shell commands before each command
	Env       []string // KEY=VALUE
	Profiles  []string // the profiles that it can run; nil for all

	Sync        bool     // the source tree is brought over first
	SyncExclude []string // patterns of what is left out of that, as in .gitignore
	Relay       bool     // its workers share one channel

	// The commands of hooks. The first is always set.
	Provision, Execute, Dispose Value
	ProvisionTimeout            time.Duration // 0 for as long as it likes
	DisposeTimeout              time.Duration // never 0
}

// All are the hooks of [DEFAULT], if there are any, and the sections, in the
// order in which their slots are numbered.
func (c *Config) All() []Instance {
	if c.Hooks == nil {
		return c.Instances
	}
	return append([]Instance{*c.Hooks}, c.Instances...)
}
