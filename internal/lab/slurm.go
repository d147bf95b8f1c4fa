package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Slurm is a batch system on this machine: munged, slurmctld, and a slurmd for
// each node. The nodes share the machine's files and processes, and jobs run as
// root. Its fields are not to be changed.
type Slurm struct {
	// Conf is the configuration: commands find this Slurm by SLURM_CONF.
	Conf string
	// Nodes are their names, n1 and so on.
	Nodes []string

	dir     string
	daemons []*daemon // in the order of their start
}

// StartSlurm starts a Slurm whose files are below dir, which is made. It
// returns when all nodes are idle. It needs root, and Debian's packages
// slurm-wlm and munge. If it fails, it leaves nothing behind but files.
// Otherwise, Close it; ctx is for StartSlurm alone.
//
// Several may be there at once: all ports are free ones.
func StartSlurm(ctx context.Context, dir string, nodes int) (*Slurm, error) {
	s, err := prepareSlurm(dir, nodes)
	if err == nil {
		err = Sweep(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("start slurm: %w", err)
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start slurm: %w", err), s.Close())
	}
	return s, nil
}

// prepareSlurm writes the files.
func prepareSlurm(dir string, nodes int) (*Slurm, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(dir, " \t\n#%\\\"',") {
		return nil, fmt.Errorf("the directory %q has characters that slurm.conf can't have", dir)
	}
	name, err := newName()
	if err != nil {
		return nil, err
	}
	s := &Slurm{dir: dir, Conf: filepath.Join(dir, name.dir(), "slurm.conf")}
	for i := range nodes {
		s.Nodes = append(s.Nodes, "n"+strconv.Itoa(i+1))
	}
	for _, sub := range append([]string{"ctl", "log", name.dir()}, s.Nodes...) {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "key"), 0o700); err != nil {
		return nil, err
	}
	key := make([]byte, 1024)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "key", "key"), key, 0o600); err != nil {
		return nil, err
	}
	conf, err := s.conf()
	if err != nil {
		return nil, err
	}
	// slurmd wants a plugin for cgroups even if it has nothing to do.
	cgroup := "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\n" +
		"ConstrainCores=no\nConstrainRAMSpace=no\n"
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.Conf), "cgroup.conf"), []byte(cgroup), 0o644); err != nil {
		return nil, err
	}
	return s, os.WriteFile(s.Conf, []byte(conf), 0o644)
}

// conf is slurm.conf. Every core may be taken by many jobs at once: nobody
// waits for another test.
func (s *Slurm) conf() (string, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return "", err
	}
	hostname, _, _ = strings.Cut(hostname, ".")
	ports, err := freePorts(len(s.Nodes) + 1)
	if err != nil {
		return "", err
	}
	var conf strings.Builder
	fmt.Fprintf(&conf, `ClusterName=lab
SlurmctldHost=%[1]s(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=%[2]s/munge.sock
CredType=cred/munge
SlurmctldPort=%[3]d
SlurmctldPidFile=%[2]s/slurmctld.pid
SlurmdPidFile=%[2]s/slurmd.%%n.pid
SlurmdSpoolDir=%[2]s/%%n
StateSaveLocation=%[2]s/ctl
SlurmctldLogFile=%[2]s/log/slurmctld.log
SlurmdLogFile=%[2]s/log/slurmd.%%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
`, hostname, s.dir, ports[0])
	for i, node := range s.Nodes {
		fmt.Fprintf(&conf, "NodeName=%s NodeHostname=%s NodeAddr=127.0.0.1 Port=%d CPUs=%d RealMemory=500 State=UNKNOWN\n",
			node, hostname, ports[i+1], min(runtime.NumCPU(), 2))
	}
	conf.WriteString("PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:16\n")
	return conf.String(), nil
}

// freePorts are ports of 127.0.0.1 where nobody listens.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = listener.Close() }() // not before all are found
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Env is what a command's environment needs for it to find this Slurm.
func (s *Slurm) Env() []string { return []string{"SLURM_CONF=" + s.Conf} }

// start starts the daemons, and waits until the nodes are idle.
func (s *Slurm) start(ctx context.Context) error {
	socket, log := filepath.Join(s.dir, "munge.sock"), filepath.Join(s.dir, "log")
	err := s.daemon("munged", "--foreground", "--force", "--socket="+socket,
		"--key-file="+filepath.Join(s.dir, "key", "key"),
		"--pid-file="+filepath.Join(s.dir, "munged.pid"), "--log-file="+filepath.Join(log, "munged.log"),
		"--seed-file="+filepath.Join(s.dir, "key", "seed"))
	if err != nil {
		return err
	}
	if err := s.until(ctx, "munged listens", func() (string, bool) {
		_, err := os.Stat(socket)
		return fmt.Sprint(err), err == nil
	}); err != nil {
		return err
	}
	if err := s.daemon("slurmctld", "-D", "-f", s.Conf); err != nil {
		return err
	}
	for _, node := range s.Nodes {
		if err := s.daemon("slurmd", "-D", "-f", s.Conf, "-N", node); err != nil {
			return err
		}
	}
	return s.until(ctx, "all nodes are idle", func() (string, bool) {
		cmd := exec.CommandContext(ctx, "sinfo", "--noheader", "--Node", "--format=%N %T")
		cmd.Env = append(os.Environ(), s.Env()...)
		said, err := output(cmd, (*exec.Cmd).Start)
		if err != nil {
			return err.Error(), false
		}
		return said, strings.Count(said, " idle\n") == len(s.Nodes)
	})
}

// daemon starts one of the daemons; what it writes goes to a file of log.
func (s *Slurm) daemon(program string, args ...string) error {
	path := filepath.Join(s.dir, "log", fmt.Sprintf("%s.%d.out", program, len(s.daemons)))
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), s.Env()...)
	d, err := startDaemon(cmd, (*exec.Cmd).Start)
	if err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	s.daemons = append(s.daemons, d)
	return nil
}

// until waits until ok; what ok says last is part of the error, and so is a
// daemon that has ended.
func (s *Slurm) until(ctx context.Context, what string, ok func() (string, bool)) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		said, done := ok()
		if done {
			return nil
		}
		for _, d := range s.daemons {
			select {
			case <-d.exited:
				said, _ := os.ReadFile(d.cmd.Stdout.(*os.File).Name())
				said = said[max(0, len(said)-1000):]
				return fmt.Errorf("wait until %s: %s: %v: %s", what, d.cmd, d.cmd.ProcessState, bytes.TrimSpace(said))
			default:
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w: %s", what, context.Cause(ctx), said)
		}
	}
}

// Close ends the daemons, the jobs, and the commands that have SLURM_CONF in
// their environment. Its files stay. It may be called again.
func (s *Slurm) Close() error {
	for _, d := range slices.Backward(s.daemons) {
		d.kill()
	}
	s.daemons = nil
	if err := killMarked(s.Conf); err != nil {
		return fmt.Errorf("close slurm: %w", err)
	}
	return nil
}
