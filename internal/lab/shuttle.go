package lab

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// laneLimit is how many packets may be under way in one direction; one more is lost.
const laneLimit = 1 << 14

// shuttle carries packets between two TUN devices, one of them in another
// network namespace: late, in part, or not at all. The kernel takes the
// devices away with the shuttle.
//
// Two goroutines belong to each direction; close ends them:
//
//	receive  reads packets from one device into the lane
//	deliver  writes what is due in the lane to the other device
type shuttle struct {
	devices   [2]*os.File
	blackhole atomic.Bool // all packets vanish
	closed    chan struct{}
	work      sync.WaitGroup
}

// startShuttle makes the devices, which are down and have no addresses yet.
func startShuttle(outer, namespace, inner string, opts HostOptions) (*shuttle, error) {
	s := &shuttle{closed: make(chan struct{})}
	var err error
	if s.devices[0], err = openTUN(outer); err != nil {
		return nil, err
	}
	err = inNamespace(namespace, func() (err error) {
		s.devices[1], err = openTUN(inner)
		return err
	})
	if err != nil {
		_ = s.devices[0].Close()
		return nil, err
	}
	for i := range s.devices {
		l := &lane{
			shuttle: s, from: s.devices[i], to: s.devices[1-i], opts: opts, number: i,
			randoms: map[byte]*rand.Rand{}, came: make(chan struct{}, 1),
		}
		s.work.Go(l.receive)
		s.work.Go(l.deliver)
	}
	return s, nil
}

// openTUN makes a device in the thread's network namespace.
func openTUN(name string) (*os.File, error) {
	// Not blocking, so that Close ends a Read.
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make the TUN device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// close takes the devices away.
func (s *shuttle) close() {
	close(s.closed)
	for _, device := range s.devices {
		_ = device.Close()
	}
	s.work.Wait()
}

// lane is one direction of a shuttle.
type lane struct {
	shuttle  *shuttle
	from, to *os.File
	opts     HostOptions
	number   int
	randoms  map[byte]*rand.Rand // receive's

	came chan struct{} // has an element when the first packet may be another

	// mu guards what follows.
	mu      sync.Mutex
	packets packets
	count   uint64 // packets so far
}

func (l *lane) receive() {
	buffer := make([]byte, 1<<16)
	for {
		n, err := l.from.Read(buffer)
		if err != nil {
			return // closed
		}
		if buffer[0]>>4 != 4 {
			// The kernel says something over IPv6 now and then, by itself. Nothing is drawn
			// for it: the same seed has the same losses.
			continue
		}
		random := l.random(buffer[9])
		lost := l.opts.Loss > 0 && random.Float64() < l.opts.Loss
		delay := l.opts.Delay
		if l.opts.Jitter > 0 {
			delay += time.Duration(random.Int64N(int64(l.opts.Jitter)))
		}
		if !lost && !l.shuttle.blackhole.Load() {
			l.put(slices.Clone(buffer[:n]), time.Now().Add(delay))
		}
	}
}

// random is where the numbers for a protocol of IPv4 come from. Each has its own: what
// one sends once more, when it likes, doesn't change what another one loses.
func (l *lane) random(protocol byte) *rand.Rand {
	if l.randoms[protocol] == nil {
		l.randoms[protocol] = rand.New(rand.NewPCG(l.opts.Seed, uint64(l.number)<<8|uint64(protocol)))
	}
	return l.randoms[protocol]
}

func (l *lane) put(bytes []byte, due time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.packets) >= laneLimit {
		return
	}
	l.count++
	heap.Push(&l.packets, packet{bytes: bytes, due: due, number: l.count})
	select {
	case l.came <- struct{}{}:
	default:
	}
}

func (l *lane) deliver() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		bytes, wait := l.next()
		if bytes != nil {
			if !l.shuttle.blackhole.Load() {
				_, _ = l.to.Write(bytes) // a link that is down loses it
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-l.came:
		case <-l.shuttle.closed:
			return
		}
	}
}

// next is a packet that is due, or how long there won't be any.
func (l *lane) next() ([]byte, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.packets) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(l.packets[0].due); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&l.packets).(packet).bytes, 0
}

// packet is one that is under way.
type packet struct {
	bytes  []byte
	due    time.Time
	number uint64 // keeps the order of packets that are due together
}

// packets is a heap: what is due first is first.
type packets []packet

func (p packets) Len() int { return len(p) }

func (p packets) Less(i, j int) bool {
	if !p[i].due.Equal(p[j].due) {
		return p[i].due.Before(p[j].due)
	}
	return p[i].number < p[j].number
}

func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }

// Push adds x, a packet. It is for container/heap.
func (p *packets) Push(x any) { *p = append(*p, x.(packet)) }

// Pop takes the last packet away. It is for container/heap.
func (p *packets) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	(*p)[last] = packet{}
	*p = (*p)[:last]
	return x
}
