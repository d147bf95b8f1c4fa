//go:build peers

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"testr/internal/lab"
)

// git runs git in the project.
func (p *project) git(args ...string) {
	p.t.Helper()
	cmd := p.command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

// synced is a section of a host that gets the tree in a directory of its own.
func (p *project) synced(name, dir string, lines ...string) string {
	section := p.section(name, append(lines, "sync=yes")...)
	return strings.Replace(section, "directory="+p.dir+"\n", "directory="+dir+"\n", 1)
}

// wantSynced wants that people were told what was brought to each host.
func wantSynced(t *testing.T, shown string, hosts int, what string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^testr: host\d has the source tree: ` + what + `, .* in .* \(.*\)$`)
	if found := line.FindAllString(shown, -1); len(found) != hosts {
		t.Errorf("got the text below; want %q for each of %d hosts\n%s", what, hosts, shown)
	}
}

// TestSyncOnHosts: sync=yes brings the tree to each host: all of it at first,
// then what has changed, never what git ignores; and what is gone goes.
func TestSyncOnHosts(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": "m.A.test_1\nm.A.test_2\nm.A.test_3\nm.A.test_4\n",
		"src/a b'c;touch pwned.py": "x = 1\n", "src/old.py": "", "junk.o": "",
		".gitignore": "*.o\n.temporary/\npids/\n.bin/\n"})
	const dir = "work/my tree's $(touch pwned)"
	p.git("init", "-q")
	p.write(".testr.conf", streaming+p.synced("host1", dir)+p.synced("host2", dir))
	p.want(0, "init")
	p.noDoubleHere()
	wantSynced(t, p.want(0, "run", "--parallel").err, 2, "5 files, 5 brought, 0 removed")
	for _, h := range l.Hosts {
		there := filepath.Join(h.Home, dir)
		for name, want := range map[string]bool{"src/a b'c;touch pwned.py": true, "src/old.py": true, "junk.o": false,
			".testr.conf": true, "pids": false, ".testr/repository.db": false} {
			if _, err := os.Stat(filepath.Join(there, name)); (err == nil) != want {
				t.Errorf("on %s: got %s there: %t; want %t", h.Name, name, err == nil, want)
			}
		}
	}
	wantSynced(t, p.want(0, "run", "--parallel").err, 2, "5 files, 0 brought, 0 removed")
	p.remove("src/old.py")
	p.write("src/new.py", "")
	p.write("tests", "m.A.test_1\nm.A.test_5\n")
	wantSynced(t, p.want(0, "run", "--parallel").err, 2, "5 files, 2 brought, 1 removed")
	for _, h := range l.Hosts {
		if _, err := os.Stat(filepath.Join(h.Home, dir, "src/old.py")); err == nil {
			t.Errorf("on %s: src/old.py is still there", h.Name)
		}
		if _, err := os.Stat(filepath.Join(h.Home, "pwned")); err == nil {
			t.Errorf("on %s: a name was run", h.Name)
		}
	}
	wantText(t, p.want(0, "last").out, "Ran 2 ")
	if p.exists("pwned") {
		t.Error("a name was run")
	}
}

// TestSyncFails: a host to which the tree can't be brought gets no tests, and says
// so; what the others ran counts.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	l, p := newLab(t, 2, lab.Options{}, map[string]string{"tests": holders(3)})
	h := l.Hosts[1]
	pids, err := h.Processes()
	check(t, err)
	out, err := exec.Command("nsenter", "-t", strconv.Itoa(pids[0]), "-m", "sh", "-c",
		`mkdir -p "$1/tree" && mount -t tmpfs -o ro none "$1/tree"`, "sh", h.Home).CombinedOutput()
	if err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	bad := p.synced("bad", "tree", "host=host2")
	p.write(".testr.conf", streaming+p.section("host1")+bad)
	p.want(0, "init")
	b := p.start("run", "--parallel")
	b.awaitSaid("testr: warning: instance bad: bring the source tree to tree: ")
	p.write("go", "")
	res := b.wait()
	if res.status != 0 {
		t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
	}
	wantOnce(t, res.err, "instance bad")
	wantText(t, res.err, "Read-only file system")
	if n := hostsOf(t, p.want(0, "last").out); n["host1"] != 3 {
		t.Errorf("got %v tests by host; want 3 on host1", n)
	}
	p.write(".testr.conf", streaming+bad)
	res = p.want(3, "run", "--parallel")
	wantOnce(t, res.err, "instance bad")
	wantText(t, res.err, "Read-only file system", "testr: error: list tests: no instance is there\n")
}
