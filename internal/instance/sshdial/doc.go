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
package sshdial
