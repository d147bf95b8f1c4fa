// Package protocol reads and writes subunit, versions 2 and 2.1, on a byte
// stream.
//
// A Reader takes packets and the text between them from an io.Reader, a Writer
// puts packets on an io.Writer. Both are plain structs: no goroutine, no
// logger, no clock. Neither is safe for concurrent use.
//
// The format is that of subunit's README
// (https://github.com/testing-cabal/subunit), with the parent test id of 2.1,
// described in docs/protocol.md.
package protocol
