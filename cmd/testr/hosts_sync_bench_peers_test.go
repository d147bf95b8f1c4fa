//go:build peers

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"testr/internal/instance/sshdial"
	"testr/internal/instance/sshhost"
	"testr/internal/instance/tree"
	"testr/internal/lab"
)

// BenchmarkHostsSync brings 5,000 files of 10 kB to three hosts at once, all of
// them, nothing of them and one, with testr's two ways and with rsync -a over
// ssh. Connecting and disconnecting is part of it.
func BenchmarkHostsSync(b *testing.B) {
	l := benchLab(b, 3, lab.HostOptions{})
	root := benchTree(b)
	self, err := exec.LookPath("testr")
	if err != nil {
		b.Fatal(err)
	}
	bring := func(rsh []string) func(*lab.Host, string) error {
		return func(h *lab.Host, dir string) error { return bringTree(b.Context(), l, h, root, dir, rsh) }
	}
	ways := map[string]func(*lab.Host, string) error{
		"rsync": bring([]string{self, "rsh"}),
		"tar":   bring(nil),
		"rsync-a": func(h *lab.Host, dir string) error {
			out, err := exec.Command("rsync", "-a", "--delete", "--exclude=.git", "-e", "ssh -F "+l.Config,
				root+"/", h.Name+":"+dir).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			return nil
		},
	}
	s := spread{}
	for n := 0; b.Loop(); n++ {
		for name, way := range ways {
			dirs := b.TempDir()
			for _, what := range []string{"first", "nothing", "one"} {
				if what == "one" {
					writeBench(b, filepath.Join(root, "d00", "file0000.py"), fmt.Appendf(nil, "%d %s\n", n, name))
				}
				begin := time.Now()
				if err := onAll(l, func(h *lab.Host) error { return way(h, filepath.Join(dirs, h.Name)) }); err != nil {
					b.Fatalf("%s, %s: %v", name, what, err)
				}
				s.ms(name+"-"+what, begin)
			}
			out, err := exec.Command("diff", "-r", "-x", ".git", "-x", ".testr", root,
				filepath.Join(dirs, l.Hosts[2].Name)).CombinedOutput()
			if err != nil {
				b.Fatalf("%s: %v\n%.1000s", name, err, out)
			}
			if err := os.RemoveAll(dirs); err != nil {
				b.Fatal(err)
			}
		}
	}
	s.report(b)
}

// benchTree is a directory with 5,000 files of 10 kB that don't compress, which
// git tracks.
func benchTree(b *testing.B) string {
	b.Helper()
	root := b.TempDir()
	noise := rand.NewChaCha8([32]byte{1})
	content := make([]byte, 10_000)
	for i := range 5000 {
		_, _ = noise.Read(content) // never fails
		dir := filepath.Join(root, fmt.Sprintf("d%02d", i%70))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		writeBench(b, filepath.Join(dir, fmt.Sprintf("file%04d.py", i)), content)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}} {
		if out, err := exec.Command("git", append([]string{"-C", root}, args...)...).CombinedOutput(); err != nil {
			b.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return root
}

func writeBench(b *testing.B, name string, content []byte) {
	b.Helper()
	if err := os.WriteFile(name, content, 0o644); err != nil {
		b.Fatal(err)
	}
}

// onAll does something with all hosts at once.
func onAll(l *lab.Lab, do func(*lab.Host) error) error {
	errs := make([]error, len(l.Hosts))
	var work sync.WaitGroup
	for i, h := range l.Hosts {
		work.Go(func() { errs[i] = do(h) })
	}
	work.Wait()
	return errors.Join(errs...)
}

// bringTree does what a run does before the first worker.
func bringTree(ctx context.Context, l *lab.Lab, h *lab.Host, root, dir string, rsh []string) (err error) {
	target, err := sshdial.Resolve(ctx, h.Name, sshdial.Options{Home: l.Home})
	if err != nil {
		return err
	}
	host := sshhost.New(sshhost.Config{Name: h.Name, Dial: func(ctx context.Context) (sshhost.Conn, error) {
		conn, err := target.Dial(ctx)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}})
	defer func() { err = errors.Join(err, host.Close()) }()
	made, err := host.Provision(ctx, 1)
	if err != nil {
		return err
	}
	stats, err := tree.Sync(ctx, made[0], dir, tree.Options{Root: root, Rsh: rsh})
	if want := map[bool]string{true: "rsync", false: "tar"}[rsh != nil]; err == nil && stats.By != want {
		err = fmt.Errorf("the tree was brought by %s; want %s: %q", stats.By, want, stats.Warnings)
	}
	return err
}
