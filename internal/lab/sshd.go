package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// loginScript starts sshd where root has another home directory and shell, and
// an account that isn't locked, without PAM.
const loginScript = `mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow &&
exec /usr/sbin/sshd -D -f "$1/sshd_config" -E "$1/sshd.log"`

// daemon is a process that runs until it is killed. A goroutine waits for it,
// and closes exited.
type daemon struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// startDaemon starts cmd, in a session of its own, through start.
func startDaemon(cmd *exec.Cmd, start func(*exec.Cmd) error) (*daemon, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := start(cmd); err != nil {
		return nil, err
	}
	d := &daemon{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its log says why
		close(d.exited)
	}()
	return d, nil
}

// kill kills the daemon, and waits for its end.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.exited
}

// prepare writes the host's files.
func (h *Host) prepare(client ssh.PublicKey) error {
	if err := os.MkdirAll(h.Home, 0o755); err != nil {
		return err
	}
	if err := h.writeHostKey(); err != nil {
		return err
	}
	passwd, err := h.passwd()
	if err != nil {
		return err
	}
	config := append(slices.Clone(h.opts.Config),
		"Port "+strconv.Itoa(h.Port),
		"ListenAddress "+h.Address.String(),
		"HostKey \""+filepath.Join(h.Dir, "ssh_host_ed25519_key")+"\"",
		"AuthorizedKeysFile \""+filepath.Join(h.Dir, "authorized_keys")+"\"",
		"PidFile none",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"UsePAM no",
		"StrictModes no",
		"PermitRootLogin prohibit-password",
		"UseDNS no",
		"PrintMotd no",
		"Subsystem sftp internal-sftp",
	)
	if h.opts.MaxSessions > 0 {
		config = append(config, "MaxSessions "+strconv.Itoa(h.opts.MaxSessions))
	}
	if h.opts.MaxStartups != "" {
		config = append(config, "MaxStartups "+h.opts.MaxStartups)
	}
	for name, text := range map[string]string{
		"sshd_config":     strings.Join(config, "\n") + "\n",
		"authorized_keys": string(ssh.MarshalAuthorizedKey(client)),
		"passwd":          passwd,
		"shadow":          "root:*:19000:0:99999:7:::\n",
	} {
		if err := os.WriteFile(filepath.Join(h.Dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// passwd is this machine's with the host's home directory and shell for root.
func (h *Host) passwd() (string, error) {
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return "", err
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if fields[0] != "root" || len(fields) != 7 {
			continue
		}
		fields[5] = h.Home
		if h.opts.Shell != "" {
			fields[6] = h.opts.Shell
		}
		lines[i] = strings.Join(fields, ":") + "\n"
		return strings.Join(lines, ""), nil
	}
	return "", errors.New("/etc/passwd has no root")
}

// writeHostKey makes a new host key.
func (h *Host) writeHostKey() error {
	path := filepath.Join(h.Dir, "ssh_host_ed25519_key")
	key, err := WriteKey(path, "")
	if err != nil {
		return err
	}
	h.identity = key
	return nil
}

// StartSSHD starts sshd, and returns when it accepts connections. It does
// nothing if one runs that it has started.
func (h *Host) StartSSHD(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.startSSHD(ctx)
}

// startSSHD is StartSSHD for who holds mu.
func (h *Host) startSSHD(ctx context.Context) error {
	if h.sshd != nil {
		select {
		case <-h.sshd.exited:
		default:
			return nil
		}
	}
	path := filepath.Join(h.Dir, "sshd.log")
	log, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("start sshd on %s: %w", h.Name, err)
	}
	defer func() { _ = log.Close() }()
	before, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("start sshd on %s: %w", h.Name, err)
	}
	// What is mounted here later is to be seen there, but not the reverse.
	cmd := exec.Command("unshare", "--mount", "--propagation", "slave", "sh", "-c", loginScript, "sh", h.Dir)
	cmd.Stdout, cmd.Stderr = log, log
	h.sshd, err = startDaemon(cmd, func(cmd *exec.Cmd) error { return inNamespace(h.Namespace, cmd.Start) })
	if err != nil {
		return fmt.Errorf("start sshd on %s: %w", h.Name, err)
	}
	if err := h.sshd.await(ctx, path, len(before), "Server listening on"); err != nil {
		h.sshd.kill()
		return fmt.Errorf("start sshd on %s: %w", h.Name, err)
	}
	return nil
}

// await waits until the daemon has written text to its log, after its first
// bytes.
func (d *daemon) await(ctx context.Context, log string, after int, text string) error {
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		ended := false
		select {
		case <-d.exited:
			ended = true
		default:
		}
		said, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		said = said[min(after, len(said)):]
		if ended {
			return fmt.Errorf("%v: %s", d.cmd.ProcessState, bytes.TrimSpace(said[max(0, len(said)-1000):]))
		}
		if bytes.Contains(said, []byte(text)) {
			return nil
		}
		select {
		case <-again.C:
		case <-d.exited:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// KillSSHD kills the sshd that accepts connections: new ones are refused.
// Those that are there have processes of their own and stay; KillSessions is
// for these.
func (h *Host) KillSSHD() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.killSSHD()
}

func (h *Host) killSSHD() {
	if h.sshd != nil {
		h.sshd.kill()
		h.sshd = nil
	}
}

// NewHostKey gives the host another key, which no known_hosts has, and starts
// sshd anew.
func (h *Host) NewHostKey(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.killSSHD()
	if err := h.writeHostKey(); err != nil {
		return fmt.Errorf("change the key of %s: %w", h.Name, err)
	}
	return h.startSSHD(ctx)
}

// KillSessions kills the sshd processes of the connections that are there, and
// waits for their end. The connections break, and commands find their stdin at
// its end.
func (h *Host) KillSessions(ctx context.Context) error {
	killed, err := h.signalSessions(unix.SIGKILL)
	if err != nil {
		return err
	}
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		left, err := h.sessions()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(left, func(pid int) bool { return slices.Contains(killed, pid) }) {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of the connections of %s: %w", h.Name, context.Cause(ctx))
		}
	}
}

// StopSessions stops the sshd processes of the connections that are there: the
// connections stay, and nothing comes through them. Commands run on.
func (h *Host) StopSessions() error {
	_, err := h.signalSessions(unix.SIGSTOP)
	return err
}

// ContinueSessions ends what StopSessions began.
func (h *Host) ContinueSessions() error {
	_, err := h.signalSessions(unix.SIGCONT)
	return err
}

func (h *Host) signalSessions(sig syscall.Signal) ([]int, error) {
	pids, err := h.sessions()
	for _, pid := range pids {
		_ = unix.Kill(pid, sig) // it may have ended since
	}
	return pids, err
}

// sessions are the sshd processes that belong to connections.
func (h *Host) sessions() ([]int, error) {
	pids, err := h.Processes()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	listener := 0
	if h.sshd != nil {
		listener = h.sshd.cmd.Process.Pid
	}
	h.mu.Unlock()
	return slices.DeleteFunc(pids, func(pid int) bool {
		comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		return err != nil || string(comm) != "sshd\n" || pid == listener
	}), nil
}

// Processes are the numbers of all processes on the host: of sshd, and of what
// was started through it.
func (h *Host) Processes() ([]int, error) {
	pids, err := processesIn(h.Namespace)
	if err != nil {
		return nil, fmt.Errorf("list the processes of %s: %w", h.Name, err)
	}
	return pids, nil
}
