package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Podman is a container engine with a store of its own. Its fields are not to
// be changed.
type Podman struct {
	// Command is a program that is podman, for this store alone.
	Command string
	// Busybox is an image with a shell and its usual commands, and Python one
	// that has /usr/bin/python3 with its standard library as well.
	Busybox, Python string

	conf string
}

// containersConf has what makes containers run without a network, without the
// privilege to raise limits, and without systemd.
const containersConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "none"
log_driver = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
`

// podmanScript runs podman without the hybrid hierarchy of cgroups, which crun
// doesn't support, with a configuration and a directory of its own.
const podmanScript = `#!/bin/sh
export CONTAINERS_CONF='%[1]s'
exec unshare --mount --propagation private sh -c '
umount /sys/fs/cgroup/unified 2>/dev/null
exec podman --root "$0/store" --runroot "$0/run" --tmpdir "$0/tmp" "$@"' '%[2]s' "$@"
`

// StartPodman makes a container engine whose files are below dir, which is
// made, and imports its images. It needs root, and Debian's packages podman,
// crun, conmon, busybox-static and python3-minimal; it downloads nothing. If
// it fails, it leaves nothing behind but files. Otherwise, Close it; ctx is for
// StartPodman alone.
//
// Containers have no network, and their cgroups are this machine's. They live
// on if the command that runs them is killed: `rm -f -t 0 NAME` ends them.
func StartPodman(ctx context.Context, dir string) (*Podman, error) {
	p, err := preparePodman(dir)
	if err == nil {
		err = Sweep(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("start podman: %w", err)
	}
	err = errors.Join(
		p.load(ctx, p.Busybox, writeBusybox),
		p.load(ctx, p.Python, func(tree *tree) error { return writePython(ctx, tree) }))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start podman: %w", err), p.Close())
	}
	return p, nil
}

// preparePodman writes the files.
func preparePodman(dir string) (*Podman, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(dir, "'\n") {
		return nil, fmt.Errorf("the directory %q has characters that the command can't have", dir)
	}
	name, err := newName()
	if err != nil {
		return nil, err
	}
	p := &Podman{
		Command: filepath.Join(dir, "podman"), Busybox: "localhost/busybox:lab", Python: "localhost/python:lab",
		conf: filepath.Join(dir, name.dir(), "containers.conf"),
	}
	if err := os.MkdirAll(filepath.Dir(p.conf), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.conf, []byte(containersConf), 0o644); err != nil {
		return nil, err
	}
	script := fmt.Sprintf(podmanScript, p.conf, dir)
	return p, os.WriteFile(p.Command, []byte(script), 0o755)
}

// load imports the image that write writes.
func (p *Podman) load(ctx context.Context, image string, write func(*tree) error) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		tree := newTree(w)
		err := errors.Join(write(tree), tree.close())
		_ = w.CloseWithError(err) // a truncated image is none
		written <- err
	}()
	cmd := exec.CommandContext(ctx, p.Command, "import", "--quiet", "-", image)
	cmd.Stdin = r
	_, err := output(cmd, (*exec.Cmd).Start)
	_ = r.Close()
	if writeErr := <-written; writeErr != nil && !errors.Is(writeErr, io.ErrClosedPipe) {
		return fmt.Errorf("make the image %s: %w", image, writeErr)
	}
	if err != nil {
		return fmt.Errorf("import the image %s: %w", image, err)
	}
	return nil
}

// Close ends all containers and whatever runs of this podman. Its files stay.
// It may be called again.
func (p *Podman) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, err := run(ctx, p.Command, "rm", "--all", "--force", "--time", "0")
	if err := errors.Join(err, killMarked(p.conf)); err != nil {
		return fmt.Errorf("close podman: %w", err)
	}
	return nil
}
