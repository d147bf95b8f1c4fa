// Package config reads .testr.conf and answers what it says.
//
// Load gives a Config: plain values, each with the line where it stands. Find
// looks for the directory that has the file, and Suggest says what to write
// where there is none.
//
// The syntax is that of Python's configparser.ConfigParser with its
// BasicInterpolation, because that is what reads the files that people already
// have: "=" or ":" after the option, comments on lines of their own only,
// values that go on over indented lines (empty ones and comments among them),
// "%%" and "%(option)s", options in any case, options and sections at most
// once, and [DEFAULT] as the fallback of every section. INI libraries differ
// from that in many of these points, so the parser here is testr's own, and a
// test holds it against the original.
//
// # Caveats
//
// Three things differ from ConfigParser on purpose: what follows "env." in an
// option's name keeps its case; all mistakes of a file are reported, not just
// the first; and a file is UTF-8 whatever the locale says.
//
// A configuration names commands to run. So one that belongs to another user is
// refused, unless the user's own configuration trusts the directory.
package config
