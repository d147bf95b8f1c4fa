//go:build peers

package tree

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A full disk there, or one that can't be written to, is told with what to do,
// and when there is room again the next sync makes all equal.
func TestFullDisk(t *testing.T) {
	for _, w := range []way{{by: byTar}, {by: byRsync, rsh: testRsh(t)}, busybox(t)} {
		p := newPair(t, w)
		disk := filepath.Dir(p.away)
		if err := os.Mkdir(disk, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", disk, "tmpfs", 0, "size=1m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
		files{"a": "1", "b": strings.Repeat("b", 700_000)}.write(t, p.here)
		p.sync()
		files{"a": "2", "b": strings.Repeat("c", 600_000), "d/e": strings.Repeat("e", 900_000)}.write(t, p.here)
		_, err := Sync(t.Context(), p.inst, workDir, p.options())
		if err == nil || !strings.Contains(err.Error(), "free some space there") {
			t.Errorf("%s: got %v; want to be told that the disk is full", w.by, err)
		}
		if err := unix.Mount("none", disk, "tmpfs", unix.MS_REMOUNT, "size=4m"); err != nil {
			t.Fatal(err)
		}
		p.sync()
		want(t, p.away, read(t, p.here))

		if err := unix.Mount("none", disk, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		_, err = Sync(t.Context(), p.inst, workDir, p.options())
		if err == nil || !strings.Contains(err.Error(), "Read-only file system") {
			t.Errorf("%s: got %v; want to be told that it is read-only", w.by, err)
		}
		if err := unix.Unmount(disk, 0); err != nil && !errors.Is(err, unix.EBUSY) {
			t.Error(err)
		}
	}
}

// Without room for a byte there is no lock, and the error says why.
func TestNoRoomForLock(t *testing.T) {
	p := newPair(t, way{by: byTar})
	disk := filepath.Dir(p.away)
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(disk, "full"), make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	files{"a": "1"}.write(t, p.here)
	_, err := Sync(t.Context(), p.inst, workDir, p.options())
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v; want to be told that the disk is full", err)
	}
	if err := os.Remove(filepath.Join(disk, "full")); err != nil {
		t.Fatal(err)
	}
	p.sync()
	want(t, p.away, files{"a": "1"})
}
