package sshdial

import (
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Options say where the user's things are. Zero values mean the user's own.
type Options struct {
	Home       string // the user's home directory; empty means what os.UserHomeDir says
	ConfigFile string // read alone; empty means Home/.ssh/config and then /etc/ssh/ssh_config

	// AgentSocket is the agent's socket; empty means the configuration's
	// IdentityAgent, or else $SSH_AUTH_SOCK.
	AgentSocket string

	// Getenv looks up variables of the user's environment, empty where there are
	// none; nil means os.Getenv.
	Getenv func(name string) string

	// Passphrase asks a person for the passphrase of a key file; prompt says of
	// which. nil means that there is nobody to ask. Dial waits for it, and never
	// calls it from two goroutines at once for Targets with the same Shared.
	// What it returns is overwritten.
	Passphrase func(prompt string) ([]byte, error)

	// Keepalive is the time between two questions whether the host is there, and
	// Misses how many of them, unanswered, make a connection dead. 0 means the
	// configuration's ServerAliveInterval and ServerAliveCountMax, or else 5 s and 3.
	Keepalive time.Duration
	Misses    int

	// Shared is what the Targets of a process have in common. nil means that
	// this Target has it with nobody but its jump hosts.
	Shared *Shared

	Log hclog.Logger // for warnings about the configuration; nil means none
}

const (
	defaultKeepalive = 5 * time.Second
	defaultMisses    = 3
)

// limit is for how long nothing may be heard of a host.
func (o *Options) limit() time.Duration { return o.Keepalive * time.Duration(o.Misses) }

func (o *Options) getenv(name string) string {
	if o.Getenv != nil {
		return o.Getenv(name)
	}
	return os.Getenv(name)
}
