package protocol

import "time"

// Fields tells which of a packet's optional fields are there. A field that is
// present and empty is not absent: the two are different bytes on the wire.
type Fields uint16

// The bits of Fields are the protocol's own feature bits.
const (
	HasTestID Fields = 0x0800
	HasRoute  Fields = 0x0400
	HasTime   Fields = 0x0200
	HasTags   Fields = 0x0080
	HasFile   Fields = 0x0040
	HasMIME   Fields = 0x0020
	HasParent Fields = 0x0008 // subunit 2.1
)

// Status is what a packet says of its test.
type Status uint8

// The statuses, with the numbers they have on the wire.
const (
	StatusNone Status = iota
	StatusExists
	StatusInProgress
	StatusSuccess
	StatusUxSuccess
	StatusSkip
	StatusFail
	StatusXFail
)

var statusNames = [...]string{"", "exists", "inprogress", "success", "uxsuccess", "skip", "fail", "xfail"}

// String returns the status's name in the protocol description, and the empty
// string for StatusNone.
func (s Status) String() string { return statusNames[s&7] }

// ParseStatus returns the status of that name; ok is false for an unknown one.
func ParseStatus(name string) (s Status, ok bool) {
	for i, n := range statusNames {
		if n == name {
			return Status(i), true
		}
	}
	return StatusNone, false
}

// Final reports whether s ends a test: an outcome.
func (s Status) Final() bool { return s >= StatusSuccess && s <= StatusXFail }

// TextName is the name of the file as which text between packets is delivered.
const TextName = "stdout"

// Packet is one subunit packet, or a piece of the text between packets. It
// owns its memory: nothing that it holds is used again by the Reader it came
// from. Fields whose bit is not in Has are zero.
type Packet struct {
	Has      Fields
	Status   Status
	Runnable bool // the test can be asked for by its id
	EOF      bool // the file is complete; with neither test nor file: no more tests

	// Text says that the packet was not one: Content is text that stood
	// between packets, delivered as the file TextName of no test. It is not on
	// the wire; written, the text is a packet like any other.
	Text bool

	TestID   string
	ParentID string   // the test that this one is a part of
	Tags     []string // in the order of the wire, as often as they were there
	Time     time.Time
	FileName string
	MIMEType string
	Content  []byte
	Route    string
}
