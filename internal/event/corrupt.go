package event

import "testr/internal/protocol"

// FromCorrupt returns what a damaged place in a stream is to those who read
// events: a file with its bytes, and a failure with the reason, of the pseudo
// test subunit.parser.
func FromCorrupt(c *protocol.CorruptError) []*protocol.Packet {
	const id = "subunit.parser"
	file := protocol.HasTestID | protocol.HasFile | protocol.HasMIME
	return []*protocol.Packet{
		{Has: file, TestID: id, FileName: "Packet data", MIMEType: "application/octet-stream",
			Content: c.Data, EOF: true},
		{Has: file, TestID: id, Status: protocol.StatusFail, FileName: "Parser Error",
			MIMEType: "text/plain;charset=utf8", Content: []byte(c.Error()), EOF: true},
	}
}
