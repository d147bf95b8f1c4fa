// Package api is the socket on which whoever has a repository open for writing
// answers the questions of others: HTTP and JSON over a Unix socket. docs/api.md
// describes it for other programs.
//
// Serve answers with what it is given; a Client asks; both check that the other
// one is a process of the same user, or of root's. A Reader, which Open returns,
// asks whoever has the repository open or, where nobody has, opens the file, and
// goes on with the one where the other ends.
//
// # Adding a question
//
// One that a repository answers takes a method of repo.Queries, a line in the
// table questions, and a method of a line each at Client and Reader. An argument
// that no question had before is a field of Question, a line in its values, and a
// line in parseQuestion. Errors that have to keep their type have a line in errorKinds. What is
// no question to a repository is a handler of its own, which Config.Handlers
// brings along, and its caller uses Client.Call or Client.Stream.
package api
