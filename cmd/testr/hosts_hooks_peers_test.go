//go:build peers

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"testr/internal/lab"
	"testr/internal/protocol"
)

// The hooks of the article that testrepository's hooks were shown in: instances
// are integers, spread over the hosts, which ssh runs commands on and rm gives
// back.
const (
	articleConf = `[DEFAULT]
test_command=%s -m subunit.run discover $LISTOPT $IDOPTION
test_id_option=--load-list $IDFILE
test_list_option=--list
test_run_concurrency=echo 12
instance_provision=./provision $INSTANCE_COUNT
instance_execute=./on $INSTANCE_ID $FILES -- $COMMAND
instance_dispose=cd slots && rm $INSTANCE_IDS
`
	// provision takes the next integers that nobody has.
	provisionScript = `#!/bin/sh
mkdir -p slots
n=0 i=0
while [ "$n" -lt "$1" ]; do
	if (set -C; : >"slots/$i") 2>/dev/null; then
		echo "$i"
		n=$((n + 1))
	fi
	i=$((i + 1))
done
`
	// on brings files to the host of an instance and runs a command there.
	onScript = `#!/bin/sh
set -e
host=host$(($1 %% %d + 1))
shift
echo "$host" >>used
while [ "$1" != -- ]; do
	ssh -F %s "$host" "mkdir -p '$(dirname "$1")'" </dev/null
	rsync -a -e 'ssh -F %s' "$1" "$host:$1" </dev/null
	shift
done
shift
exec ssh -F %s "$host" "cd '$PWD' && exec $*"
`
)

// newArticle is a project with those hooks, for hosts of a lab.
func newArticle(t *testing.T, hosts int, files map[string]string) (*lab.Lab, *project) {
	t.Helper()
	l, p := newLab(t, hosts, lab.Options{}, files)
	p.write(".testr.conf", fmt.Sprintf(articleConf, python))
	p.write("provision", provisionScript)
	p.write("on", fmt.Sprintf(onScript, hosts, l.Config, l.Config, l.Config))
	for _, script := range []string{"provision", "on"} {
		if err := os.Chmod(p.path(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return l, p
}

// slots are the instances that were provisioned and not given back.
func (p *project) slots() []string {
	p.t.Helper()
	entries, err := os.ReadDir(p.path("slots"))
	if err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestArticle: the configuration of the original article works: twelve
// instances on three hosts, with a streaming worker each.
func TestArticle(t *testing.T) {
	t.Parallel()
	_, p := newArticle(t, 3, map[string]string{"test_many.py": manyTests(240)})
	res := p.want(1, "run", "--parallel", "--force-init")
	wantText(t, res.out, "Ran 240 tests", "failures=1", "Tests by host: ")
	used := linesOf(p.read("used"))
	slices.Sort(used)
	if hosts := slices.Compact(used); !slices.Equal(hosts, []string{"host1", "host2", "host3"}) {
		t.Errorf("got hosts %q; want three", hosts)
	}
	if routes := routesOf(t, p.want(0, "last", "--subunit").out); len(routes) != 12 {
		t.Errorf("got routes %q; want twelve workers", routes)
	}
	if left := p.slots(); len(left) > 0 {
		t.Errorf("got instances %q left; want none", left)
	}
	wantText(t, p.want(1, "last").out, "host: ")
	// Instances are used again in every mode.
	for _, args := range []string{"list-tests", "run --failing", "run --parallel --failing", "run --isolated test_fails",
		"run --parallel --load-list ids", "run test_00"} {
		p.write("ids", "test_many.Many.test_000\ntest_many.Many.test_001\n")
		if res := p.testr(strings.Fields(args)...); res.status == 3 || res.status == 2 {
			t.Errorf("testr %s: got exit status %d\n%s", args, res.status, res.err)
		}
		if left := p.slots(); len(left) > 0 {
			t.Errorf("testr %s: got instances %q left; want none", args, left)
		}
	}
}

// manyTests is a module of so many tests, one of which fails.
func manyTests(n int) string {
	return fmt.Sprintf(`import time
import unittest


class Many(unittest.TestCase):
    def test_fails(self):
        self.fail("on purpose")


for i in range(%d):
    setattr(Many, "test_%%03d" %% i, lambda self: time.sleep(0.02))
`, n-1)
}

// routesOf are the routes of the tests of a stream.
func routesOf(t *testing.T, stream string) []string {
	t.Helper()
	var routes []string
	for r := protocol.NewReader(strings.NewReader(stream)); ; {
		p, err := r.ReadPacket()
		if errors.Is(err, io.EOF) {
			return routes
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Has&protocol.HasTestID != 0 && !slices.Contains(routes, p.Route) {
			routes = append(routes, p.Route)
		}
	}
}

// TestKilledInTheMiddle: when testr is killed in the middle, no worker is left
// on any host after 10 s, whatever way it was started, and the next command gives
// back what hooks had got.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	_, p := newArticle(t, 2, map[string]string{"test_many.py": strings.ReplaceAll(manyTests(40), "0.02", "60")})
	conf := strings.Replace(p.read(".testr.conf"), "echo 12", "echo 2", 1)
	conf += p.section("host1", "slots=2") + p.section("host2", "slots=2", "relay=yes")
	p.write(".testr.conf", conf)
	p.want(0, "init")
	b := p.start("run", "--parallel")
	p.awaitWorkers(6)
	if err := b.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.wait()
	deadline := time.Now().Add(10 * time.Second)
	for left := p.pythons(); len(left) > 0; left = p.pythons() {
		if time.Now().After(deadline) {
			t.Fatalf("10 s after testr was killed there are still %q", left)
		}
		<-time.After(50 * time.Millisecond)
	}
	if left := p.slots(); len(left) != 2 {
		t.Errorf("got instances %q; want two that nobody could give back", left)
	}
	wantText(t, p.want(0, "instances", "list").out, "0", "1")
	p.want(1, "run", "test_fails")
	if left := p.slots(); len(left) > 0 {
		t.Errorf("got instances %q after the next command; want none", left)
	}
}

// pythons are the command lines of the project's workers, wherever they run.
func (p *project) pythons() []string {
	p.t.Helper()
	var found []string
	entries, err := os.ReadDir("/proc")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if err != nil || cwd != p.dir {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if strings.Contains(string(line), "testr_worker.py") && strings.Contains(string(line), "python") {
			found = append(found, e.Name()+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func (p *project) awaitWorkers(n int) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for len(p.pythons()) < n {
		if time.Now().After(deadline) {
			p.t.Fatalf("got workers %q; want %d", p.pythons(), n)
		}
		<-time.After(20 * time.Millisecond)
	}
}
