// Package legacy imports what older tools have stored: testrepository's
// .testrepository and stestr's .stestr, both of format 1.
//
// Such a directory has a stream for each run, of subunit version 1 as a rule, one of
// the tests that fail, and a database of durations. Nobody vouches for what is in it:
// names, sizes and contents are checked before they are used, nothing in it is executed, and
// nothing written to it.
package legacy
