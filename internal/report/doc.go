// Package report renders what happened in a run as text for people.
//
// Text takes a run's events and writes what testrepository writes for them: a
// block for each failure as it happens, and at the end two lines that sum up
// the run. What testr knows beyond that stands on lines of its own before
// those two, and only when there is something to say. On a terminal, Text also
// keeps a status line at the bottom of the screen.
//
// WriteIDs, WriteTable, WriteSlowest and WriteValues print lists.
//
// # What others wrote
//
// Test ids, tags, file names and contents, routes and reasons come from
// programs that nobody here wrote. What is shown on a terminal goes through
// Escape, EscapeLine, Escaper or EscapeWriter, so that none of it can move the
// cursor, set the clipboard or reorder a line; testr's own colours are added
// outside of that. Where the output is no terminal, all of it is raw.
//
// # Chatter
//
// Text that a worker prints outside of packets is chatter: the files "stdout"
// and "stderr" of no test. A user of testrepository sees its workers' stderr,
// which they inherit, and never their stdout. So stderr chatter always goes to
// TextOptions.Err, and stdout chatter goes there if that is a terminal, where
// a person waits for the prompt of a debugger. Neither ever mixes with the
// text on the main writer.
package report
