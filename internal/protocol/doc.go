// Package protocol reads and writes subunit, versions 2 and 2.1, on a byte
// stream, and reads version 1.
//
// A Reader takes packets and the text between them from an io.Reader, a Writer
// puts packets on an io.Writer. A V1Reader makes the same packets of version 1, and
// an AnyReader finds out which of the two a stream is. All are plain structs: no goroutine,
// no logger, no clock. None is safe for concurrent use.
//
// The format is that of subunit's README
// (https://github.com/testing-cabal/subunit), with the parent test id of 2.1,
// described in docs/protocol.md.
package protocol
