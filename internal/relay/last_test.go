package relay

import (
	"io"
	"testing"
	"testing/synctest"

	"testr/internal/protocol"
)

// TestAllIsSaid: a relay whose channel ends says how its commands have ended, however
// late the channel takes it.
func TestAllIsSaid(t *testing.T) {
	for range 20 { // it was a matter of luck
		synctest.Test(t, func(t *testing.T) {
			p, cancel := startPiped((&Server{Provider: stage{
				"reads": func(stdin io.Reader, _, _ io.Writer) int {
					swallow(stdin)
					return 0
				},
			}}).Serve)
			defer cancel()
			const commands = 5
			say := message(noSlot, nameHello, helloMessage{Relay: speaks})
			for slot := range commands {
				say = append(say, message(slot, nameStart, startMessage{Args: octets([]string{"reads"})})...)
			}
			if _, err := p.stdin.Write(say); err != nil {
				t.Error(err)
			}
			synctest.Wait() // it waits until its hello is read
			_ = p.stdin.Close()
			synctest.Wait()
			go swallow(p.stderr)
			ended := 0
			for r := protocol.NewReader(p.stdout); ; {
				packet, err := r.ReadPacket()
				if err != nil {
					break
				}
				if packet.FileName == nameExit {
					ended++
				}
			}
			if ended != commands {
				t.Errorf("got the ends of %d commands; want %d", ended, commands)
			}
			<-p.done
		})
	}
}
