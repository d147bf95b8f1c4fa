package sshdial

import (
	"net"
	"time"
)

// Target is how to reach a host. It doesn't change, and its methods may be
// called from several goroutines.
type Target struct {
	Alias    string // what was looked up, without a user
	HostName string // where it is, as it is looked up in the DNS
	Port     string
	User     string

	givenUser, givenPort string // what was not left to the configuration

	o        Options // without zero values, except that Passphrase may be nil
	network  string  // "tcp", "tcp4" or "tcp6"
	bind     string  // the address to come from; empty for any
	patience time.Duration

	jump    *Target // to go through; nil for none
	command string  // that reaches the host, with its tokens expanded; empty for none

	keys         []string // key files, in the order in which they are tried
	implied      bool     // nobody has named the key files: they need not be there
	certificates []string
	onlyKeys     bool   // of what the agent has, only the keys of those files are tried
	agent        string // the agent's socket; empty for none

	knownAs   string   // the name that known_hosts files have the host by; empty for its own
	known     []string // known_hosts files; they need not be there
	revoked   string   // a file of keys that no host may have; empty for none
	acceptNew bool     // the keys of unknown hosts are accepted
	addTo     string   // and added to this file, which is one of known; empty for none
	hash      bool     // with the host's name hashed
}

// Address is HostName and Port as one.
func (t *Target) Address() string { return net.JoinHostPort(t.HostName, t.Port) }

// String is for people: who the target is, and where.
func (t *Target) String() string { return t.User + "@" + t.Address() }

// fail is an error about t.
func (t *Target) fail(doing string, kind, err error, hint string) *Error {
	return &Error{Host: t.Alias, Addr: t.String(), Doing: doing, Kind: kind, Err: err, Hint: hint}
}
