//go:build peers

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"testr/internal/event"
	"testr/internal/lab"
	"testr/internal/protocol"
	"testr/internal/repo"
)

// startLab makes hosts. In the end of the test nothing runs there any more that
// came through SSH.
func startLab(t *testing.T, hosts int, opts lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), t.TempDir(), hosts, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		wantIdle(t, l)
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return l
}

// newLab makes hosts, and a project whose user knows them by their names.
func newLab(t *testing.T, hosts int, opts lab.Options, files map[string]string) (*lab.Lab, *project) {
	t.Helper()
	l := startLab(t, hosts, opts)
	p := newProject(t, files)
	p.env = append(p.env, "HOME="+l.Home, "GORACE="+p.races())
	p.cleanUp()
	return l, p
}

// cleanUp wants that nothing of the project runs any more in the end of the test,
// and that no data race was found, here or on a host.
func (p *project) cleanUp() {
	p.t.Cleanup(func() {
		p.wantNobody()
		found, err := filepath.Glob(p.path("race.*"))
		check(p.t, err)
		for _, name := range found {
			p.t.Errorf("got a data race:\n%s", p.read(filepath.Base(name)))
		}
	})
}

// races are settings of the race detector: a second for each process, otherwise,
// and what it finds in a file, wherever the process was. It takes a comma in the name
// of a test, which is one of the directory, for the end of a setting.
func (p *project) races() string { return "atexit_sleep_ms=0 log_path=" + p.path("race") }

// section is one of [instance NAME] that runs the test double where the project
// is: hosts of the lab have its files.
func (p *project) section(name string, lines ...string) string {
	return fmt.Sprintf("[instance %s]\ndirectory=%s\nenv.PATH=%s\nenv.PLACE=%s\n"+
		"env.GORACE=%s\n%s\n", name, p.dir, os.Getenv("PATH"), name, p.races(), strings.Join(lines, "\n"))
}

// sections are those of all hosts.
func (p *project) sections(l *lab.Lab, lines ...string) string {
	var b strings.Builder
	for _, h := range l.Hosts {
		b.WriteString(p.section(h.Name, lines...))
	}
	return b.String()
}

// addSSH adds lines to the user's ssh configuration, before those of the lab. The
// user gets a home directory of this project's own for that.
func (p *project) addSSH(l *lab.Lab, lines ...string) {
	p.t.Helper()
	theirs, err := os.ReadFile(l.Config)
	if err != nil {
		p.t.Fatal(err)
	}
	p.setSSH(append(lines, string(theirs))...)
}

// setSSH makes lines the user's ssh configuration.
func (p *project) setSSH(lines ...string) {
	p.t.Helper()
	home := p.path(".home")
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	p.writePrivate(".home/.ssh/config", strings.Join(lines, "\n")+"\n")
	p.env = append(p.env, "HOME="+home)
}

func (p *project) writePrivate(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// stanza is the configuration of a host under another name; lines go first.
func stanza(name string, h *lab.Host, identity, known string, lines ...string) string {
	return fmt.Sprintf("Host %s\n%s\nHostName %s\nPort %d\nUser root\nIdentityFile %s\nIdentitiesOnly yes\n"+
		"UserKnownHostsFile %s\n", name, strings.Join(lines, "\n"), h.Address, h.Port, identity, known)
}

// holding are the tests that hold and have begun, by their places.
func (p *project) holding() map[string][]string {
	p.t.Helper()
	files, err := filepath.Glob(p.path("holds.*"))
	if err != nil {
		p.t.Fatal(err)
	}
	at := map[string][]string{}
	for _, file := range files {
		name := strings.TrimPrefix(filepath.Base(file), "holds.")
		i := strings.LastIndexByte(name, '.')
		at[name[i+1:]] = append(at[name[i+1:]], name[:i])
	}
	return at
}

// awaitHolding waits until so many tests hold at each of the places.
func (p *project) awaitHolding(each int, places ...string) map[string][]string {
	p.t.Helper()
	var at map[string][]string
	await(p.t, fmt.Sprintf("%d tests in progress on each of %v", each, places), func() bool {
		at = p.holding()
		return !slices.ContainsFunc(places, func(place string) bool { return len(at[place]) < each })
	})
	return at
}

// holders are n tests that hold.
func holders(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "m.C%02d.test_holds\n", i)
	}
	return b.String()
}

// names are those of a lab's hosts.
func names(l *lab.Lab) (all []string) {
	for _, h := range l.Hosts {
		all = append(all, h.Name)
	}
	return all
}

// awaitSaid waits until a text was shown on stderr.
func (b *background) awaitSaid(text string) {
	b.p.t.Helper()
	ended := false
	said := within(func() bool {
		select {
		case <-b.exited:
			ended = true
		default:
		}
		return strings.Contains(b.err.String(), text) || ended
	})
	if !said || !strings.Contains(b.err.String(), text) {
		b.p.t.Fatalf("waited in vain for %q on stderr\nstdout:\n%s\nstderr:\n%s", text, b.out, b.err)
	}
}

// wantIdle wants that nothing runs on the hosts but an sshd that has no
// connections.
func wantIdle(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, h := range l.Hosts {
		var left []int
		ok := within(func() bool {
			pids, err := h.Processes()
			if err != nil {
				t.Fatal(err)
			}
			left = slices.DeleteFunc(pids, func(pid int) bool { return listens(pid) || !alive(pid) })
			return len(left) == 0
		})
		if !ok {
			t.Errorf("on %s, got these processes; want none:%s", h.Name, commandsOf(left))
		}
	}
}

// within reports whether a state is reached in the time that a host takes, at
// most, to find out that nobody is interested in it any more.
func within(reached func() bool) bool {
	for deadline := time.After(patience); !reached(); {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			return false
		}
	}
	return true
}

// listens reports whether a process is an sshd that accepts connections.
func listens(pid int) bool {
	line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return bytes.HasPrefix(line, []byte("sshd: /usr/sbin/sshd -D "))
}

// commandsOf are the command lines of processes, for messages.
func commandsOf(pids []int) string {
	var b strings.Builder
	for _, pid := range pids {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		fmt.Fprintf(&b, "\n%d %.200q", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
	}
	return b.String()
}

// wantNobody wants that no process has the project's directory as its own or in
// its environment, wherever it came from.
func (p *project) wantNobody() {
	p.t.Helper()
	var left []int
	if !within(func() bool { left = p.processes(); return len(left) == 0 }) {
		p.t.Errorf("got these processes of the project; want none:%s", commandsOf(left))
	}
}

// processes are those that have something to do with the project.
func (p *project) processes() (pids []int) {
	p.t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil || pid == os.Getpid() || !alive(pid) {
			continue
		}
		cwd, _ := os.Readlink(entry + "/cwd")
		environ, _ := os.ReadFile(entry + "/environ")
		if strings.HasPrefix(cwd+"/", p.dir+"/") || bytes.Contains(environ, []byte(p.dir)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// keepers are the directories, on a host, of what runs there.
func keepers(t *testing.T, h *lab.Host) (dirs []string) {
	t.Helper()
	pids, err := h.Processes()
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`(?:^|\x00)TESTR_KEEPER=([^\x00]+)`)
	for _, pid := range pids {
		environ, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if m := name.FindSubmatch(environ); m != nil && !slices.Contains(dirs, "/tmp/"+string(m[1])) {
			dirs = append(dirs, "/tmp/"+string(m[1]))
		}
	}
	return dirs
}

// events are those of a run.
func (p *project) events(run int) (all []event.Event) {
	p.t.Helper()
	r, err := repo.OpenReadOnly(p.dir)
	check(p.t, err)
	defer func() { check(p.t, r.Close()) }()
	cursor, err := r.Replay(run)
	check(p.t, err)
	for {
		batch, err := cursor.Next(p.t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		check(p.t, err)
		all = append(all, batch...)
	}
}

// hostsOf tells how many tests ran on each host, as "last" shows it.
func hostsOf(t *testing.T, last string) map[string]int {
	t.Helper()
	n := map[string]int{}
	m := regexp.MustCompile(`(?m)^Tests by host: (.*)$`).FindStringSubmatch(last)
	if m == nil {
		return n
	}
	for part := range strings.SplitSeq(m[1], ", ") {
		i := strings.LastIndexByte(part, ' ')
		number, err := strconv.Atoi(part[i+1:])
		if err != nil {
			t.Fatalf("got %q of the hosts", m[1])
		}
		n[part[:i]] = number
	}
	return n
}

// endings are the ids of a stream, or of its beginning, in the order in which
// their tests ended.
func endings(stream string) (ids []string) {
	r := protocol.NewReader(strings.NewReader(stream))
	for {
		p, err := r.ReadPacket()
		if err != nil {
			return ids
		}
		if p.Status.Final() {
			ids = append(ids, p.TestID)
		}
	}
}
