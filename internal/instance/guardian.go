package instance

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// guardianFD is where a guardian finds its channel.
const guardianFD = 3

// guardianThreads is more than the goroutines of a guardian ever need at once.
const guardianThreads = 8

// RunGuardian is the whole program of a guardian, which Local.Guardian names: a
// process that starts the commands of a Local and is the parent of whatever
// they start and leave. It returns when the process that started it has closed
// the other end of its channel, in whatever way that ended, or wants it to end,
// and nothing is left of what it had started. The error means that it is no
// guardian: file descriptor 3 is no channel, or Linux can't.
func RunGuardian() error {
	channel, err := inheritChannel(guardianFD)
	if err != nil {
		return fmt.Errorf("find the channel to testr, which starts this program by itself: %w", err)
	}
	closeInheritedOnExec()
	if err := becomeSubreaper(); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	debug.SetGCPercent(25) // there is little to collect, and many may run beside
	reserveThreads(guardianThreads)
	catchSignals()
	k := &keeper{
		channel:  channel,
		children: make(chan os.Signal, 1),
		self:     os.Getpid(),
		pids:     make(map[uint32]int),
		ids:      make(map[int]uint32),
		led:      make(map[int]struct{}),
	}
	signal.Notify(k.children, syscall.SIGCHLD)
	k.serve()
	return nil
}

// reserveThreads has the runtime make so many threads now, which it keeps. It
// would end the program if it could make none later, when tests have used up
// what processes there may be.
func reserveThreads(n int) {
	var ready, done sync.WaitGroup
	ready.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			ready.Wait()
		})
	}
	done.Wait()
}

// catchSignals keeps signals from ending this program. They are caught and not
// ignored: commands would inherit that they are.
func catchSignals() {
	nowhere := make(chan os.Signal, 1)
	for sig := syscall.SIGHUP; sig <= syscall.SIGSYS; sig++ {
		if !signal.Ignored(sig) {
			signal.Notify(nowhere, sig)
		}
	}
}

// keeper is the state of a guardian. One goroutine uses it; it alone starts and
// reaps processes, so that it always knows whose number is whose.
type keeper struct {
	channel  *os.File
	children chan os.Signal // SIGCHLD
	self     int

	pids map[uint32]int // of the commands that were not reaped, by id
	ids  map[int]uint32 // and the other way round
	// led has every group that a command ever led. What is in one of a command
	// that ended was killed with it, and is only about to be gone.
	led    map[int]struct{}
	reaped int // how many children, commands and orphans
}

// request is a frame from testr, with its descriptors.
type request struct {
	frame
	fds []int
}

// serve does what testr asks for, and tells what ends, until testr is gone.
func (k *keeper) serve() {
	requests := make(chan request)
	go func() { // ends with the channel, or else with the program
		defer close(requests)
		for {
			f, fds, err := readRequest(k.channel)
			if err != nil {
				return
			}
			requests <- request{f, fds}
		}
	}()
	for {
		select {
		case r, ok := <-requests:
			if !ok || r.kind == frameClose {
				k.finish()
				return
			}
			k.heed(r)
		case <-k.children:
			k.reap()
		}
	}
}

// tell writes to testr. If that is gone, the next request is the end.
func (k *keeper) tell(f frame) { _ = writeFrame(k.channel, f) }

func (k *keeper) heed(r request) {
	switch r.kind {
	case frameStart:
		pid, err := spawn(r)
		for _, fd := range r.fds {
			_ = unix.Close(fd)
		}
		if err != nil {
			k.tell(frame{kind: frameFailed, id: r.id, value: uint32(errnoOf(err))})
			return
		}
		k.pids[r.id], k.ids[pid], k.led[pid] = pid, r.id, struct{}{}
		k.tell(frame{kind: frameStarted, id: r.id, value: uint32(pid)})
	case frameSignal:
		if pid := k.pids[r.id]; pid != 0 {
			_ = unix.Kill(-pid, unix.Signal(r.value))
		}
	}
}

// spawn starts the program that r describes, in a group of its own.
func spawn(r request) (pid int, err error) {
	words := strings.Split(string(r.body), "\x00")
	if args := int(r.value); args < 1 || len(words) < 2+args {
		return 0, unix.EINVAL
	}
	if len(r.fds) != 3 {
		return 0, unix.EMFILE
	}
	files := make([]uintptr, len(r.fds))
	for i, fd := range r.fds {
		files[i] = uintptr(fd)
	}
	path, dir, args, env := words[0], words[1], words[2:2+r.value], words[2+r.value:]
	return syscall.ForkExec(path, args, &syscall.ProcAttr{
		Dir: dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}})
}

// requestFor is the other way round: what spawn needs of a program.
func requestFor(id uint32, p *program) frame {
	words := append([]string{p.path, p.dir}, p.args...)
	words = append(words, p.env...)
	return frame{kind: frameStart, id: id, value: uint32(len(p.args)), body: []byte(strings.Join(words, "\x00"))}
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return syscall.EINVAL
	}
	return errno
}

// reap settles what has exited, and says whether there are children still. What
// a command left in its group is killed before the command is reaped: until
// then the group's number is its own.
func (k *keeper) reap() bool {
	for {
		pid, children := exitedChild()
		if pid == 0 {
			return children
		}
		id, isCommand := k.ids[pid]
		if isCommand {
			_ = unix.Kill(-pid, unix.SIGKILL)
		}
		status := reapChild(pid)
		k.reaped++
		if isCommand {
			delete(k.ids, pid)
			delete(k.pids, id)
			k.tell(frame{kind: frameExited, id: id, value: uint32(status)})
		}
	}
}

// killPatience is how long a guardian waits while nothing ends of what it has
// killed: that may wait for a disk, or be another user's.
const killPatience = 5 * time.Second

// stopRounds bounds how often it is looked for processes that were started
// while others were being stopped.
const stopRounds = 100

// finish kills all that is left, and tells testr of it, if that still listens.
func (k *keeper) finish() {
	left := k.killAll()
	for _, p := range left.first {
		k.tell(frame{kind: frameLeftover, value: uint32(p.PID), body: []byte(p.Command)})
	}
	all, _ := descendants(k.self) // if that can't be had, killAll has given up
	k.tell(frame{kind: frameClosed, id: uint32(len(all)), value: uint32(len(left.seen))})
}

// leftovers are what outlived the commands that started it.
type leftovers struct {
	seen  map[int]struct{}
	first []Leftover
}

// killAll kills everything below this process, until there is nothing. First
// all are stopped, so that none can go on starting others while some are
// killed; who is started meanwhile is found in the next round.
func (k *keeper) killAll() leftovers {
	left := leftovers{seen: make(map[int]struct{})}
	patience := time.Now().Add(killPatience)
	for reaped := 0; k.reap() && time.Now().Before(patience); {
		stopped := make(map[int]struct{})
		for range stopRounds {
			if k.stop(stopped, &left) == 0 {
				break
			}
		}
		all, _ := descendants(k.self)
		for _, p := range all {
			signalBelow(p, k.self, unix.SIGKILL)
		}
		k.awaitDeaths()
		if k.reaped > reaped {
			reaped, patience = k.reaped, time.Now().Add(killPatience)
		}
	}
	return left
}

// awaitDeaths reaps what is being killed, for as long as a round of killing
// may wait for the next one.
func (k *keeper) awaitDeaths() {
	next := time.NewTimer(10 * time.Millisecond)
	defer next.Stop()
	for k.reap() {
		select {
		case <-k.children:
		case <-next.C:
			return
		}
	}
}

// stop stops what was not stopped before, notes what is left over, and returns
// how many were new.
func (k *keeper) stop(stopped map[int]struct{}, left *leftovers) (found int) {
	all, _ := descendants(k.self)
	for _, p := range all {
		if _, ok := stopped[p.pid]; ok || p.dead() {
			continue
		}
		signalBelow(p, k.self, unix.SIGSTOP)
		stopped[p.pid] = struct{}{}
		found++
		left.note(p, k.led)
	}
	return found
}

// note takes down a process, unless it belongs to the group of a command.
func (l *leftovers) note(p processStat, led map[int]struct{}) {
	if _, ok := led[p.group]; ok {
		return
	}
	if _, ok := l.seen[p.pid]; ok {
		return
	}
	l.seen[p.pid] = struct{}{}
	if len(l.first) < maxLeftovers {
		l.first = append(l.first, Leftover{PID: p.pid, Command: commandLine(p)})
	}
}
