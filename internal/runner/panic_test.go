package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"testr/internal/config"
	"testr/internal/supervisor"
)

// TestPanicGivesBack: what hooks got is given back, and nothing is left of what
// ran, even if testr itself goes wrong in the middle of a run.
func TestPanicGivesBack(t *testing.T) {
	dir := t.TempDir()
	text := `[DEFAULT]
test_command=echo $$ >worker; exec sleep 600
instance_provision=echo one
instance_execute=: $INSTANCE_ID; $COMMAND
instance_dispose=echo $INSTANCE_IDS >>disposed
`
	if err := os.WriteFile(filepath.Join(dir, config.Name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := newRepo(t)
	inspect := make(chan func([]supervisor.SlotState), 1)
	go func() {
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for readable(filepath.Join(dir, "worker")) == "" {
			select {
			case <-look.C:
			case <-t.Context().Done():
				return
			}
		}
		inspect <- func([]supervisor.SlotState) { panic("a mistake in testr") }
	}()
	func() {
		defer func() {
			if got := recover(); got != "a mistake in testr" {
				t.Errorf("got the panic %v; want the mistake, or this shows nothing", got)
			}
		}()
		_, err := Run(t.Context(), Request{Config: cfg, Repo: r, Self: self, Log: hclog.NewNullLogger(), Inspect: inspect})
		t.Errorf("the run returned: %v", err)
	}()
	if got := readable(filepath.Join(dir, "disposed")); got != "one" {
		t.Errorf("got %q given back; want one", got)
	}
	if left := leftIn(t, r); len(left) > 0 {
		t.Errorf("got %q in the journal; want nothing", left)
	}
	pid := readable(filepath.Join(dir, "worker"))
	if _, err := os.Stat("/proc/" + pid); pid == "" || err == nil {
		t.Errorf("worker %q is there still", pid)
	}
}

// readable is the line in a file, or nothing.
func readable(name string) string {
	b, _ := os.ReadFile(name)
	return strings.TrimSpace(string(b))
}
