// Package sshdial connects to a host by the user's own ssh configuration, and
// knows when the connection is dead.
//
// Resolve looks a name up in the configuration and gives a Target; Dial gives a
// Conn to it, an *ssh.Client that closes a channel when it is lost. Whatever
// fails is an *Error with a kind that callers can tell by errors.Is, and a hint
// for people.
//
// Host keys are checked against the user's known_hosts files, always. Keys come
// from the agent and from files; nobody is asked for anything but the
// passphrase of a key file, and that only where Options say how. Nothing is ever
// forwarded, whatever the configuration says: a server that opens a channel is
// refused.
//
// # Caveats
//
// Files with Match lines are read by ssh -G, which takes the home directory from
// the password database and does not say where a name in a list of files ends
// that has a blank in it. What is not read at all: which algorithms to use,
// ControlMaster, CanonicalizeHostname (but with Match lines), KnownHostsCommand,
// VerifyHostKeyDNS, and keys on hardware that no agent has.
package sshdial
