package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSyncedAgain: a host that was lost has the source tree as it is now before
// another worker starts there, be it in a slot that had one or in another.
func TestSyncedAgain(t *testing.T) {
	t.Parallel()
	for _, more := range []string{"slots=1\n", "slots=2\n", "slots=2\nrelay=yes\n"} {
		t.Run(strings.Join(strings.Fields(more), " "), func(t *testing.T) {
			t.Parallel()
			s, dir := newDesktop(t)
			p := newProject(t, map[string]string{"tests": "m.C.test_waits\n", "version": "old\n"})
			p.env = append(p.env, "HOME="+filepath.Join(dir, "home"))
			seen := filepath.Join(dir, "seen")
			conf := strings.Replace(streaming, "=test-double --stream", "=cat version >>"+seen+"; exec test-double --stream", 1)
			p.write(".testr.conf", conf+fmt.Sprintf("[instance desktop]\nsync=yes\ndirectory=tree\nenv.PATH=%s\n%s",
				os.Getenv("PATH"), more))
			p.want(0, "init")
			b := p.start("run", "--parallel")
			await(t, "the test", func() bool {
				_, err := os.Stat(filepath.Join(s.Home(), "tree", "begun"))
				return err == nil
			})
			p.write("version", "new\n")
			p.write("go", "") // with which the test ends, where it comes
			s.Drop()
			res := b.wait()
			if res.status != 0 {
				t.Errorf("got exit status %d; want 0\n%s%s", res.status, res.out, res.err)
			}
			if got, err := os.ReadFile(seen); string(got) != "old\nnew\n" {
				t.Errorf("got workers that saw %q, %v; want the old tree, and then the new one", got, err)
			}
		})
	}
}
