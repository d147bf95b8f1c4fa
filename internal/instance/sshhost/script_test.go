package sshhost

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testr/internal/instance"
	"testr/internal/instance/instancetest"
	"testr/internal/lab"
)

// hostile is what must stay a word, wherever it stands.
const hostile = "it's \"$(touch canary)\" `touch canary` \\' ; touch canary\n& touch canary !! ~ * \x01\xff'"

// Quoting gives one word back, whatever it is made of.
func TestQuote(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"", "'", "''", hostile}
	for range 300 {
		b := make([]byte, random.IntN(12))
		for i := range b {
			if b[i] = "'\\\"$`\n !-*\x01\xff\x80a"[random.IntN(14)]; random.IntN(8) == 0 {
				b[i] = byte(1 + random.IntN(255))
			}
		}
		words = append(words, string(b))
	}
	out, err := exec.Command("/bin/sh", "-c", "printf '%s\\0' "+instance.Quote(words...)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(words, strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A script that has come in part does nothing at all.
func TestBootstrapCutOff(t *testing.T) {
	dir := t.TempDir()
	request, input := bootstrap("true >one\ntrue >two")
	for n := range input {
		cmd := exec.Command("/bin/sh", "-c", request)
		cmd.Dir = dir
		cmd.Stdin = strings.NewReader(input[:n])
		if n == len(input)-1 { // all but the last newline, which means nothing
			break
		}
		if err := cmd.Run(); n > 0 && err == nil {
			t.Errorf("%q: got success", input[:n])
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("a part of a script was run: %v, %v", left, err)
	}
}

// Whatever is in names of directories and files, variables and arguments, it is
// no piece of a script.
func TestHostileValues(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.ReplaceAll(hostile, "/", ""))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	srv := server(t, lab.ServerOptions{})
	h := host(t, srv, Config{Name: hostile, Directory: dir, Env: []string{"A=" + hostile}, Setup: "B=\"$A\"; export B"})
	i := instancetest.One(t, h)
	cmd := instancetest.Program(t, "where", "A", "B", "C")
	cmd.Env = append(cmd.Env, "C="+hostile)
	got := instancetest.Output(t, i, cmd, nil)
	if want := strings.Join([]string{dir, hostile, hostile, hostile, ""}, "\n"); got.Stdout != want || got.Stderr != "" {
		t.Errorf("got %+v; want %q", got, want)
	}
	args := instancetest.Output(t, i, instancetest.Program(t, "args", hostile, "", "-x"), nil)
	if want := hostile + "\x00\x00-x\x00"; args.Stdout != want {
		t.Errorf("got %q; want %q", args.Stdout, want)
	}
	cmd.Dir = "missing" + hostile
	if got := instancetest.Failure(t, i, cmd); !strings.Contains(got, cmd.Dir) || !strings.Contains(got, hostile) {
		t.Errorf("got %q; want it to name the directory and the instance", got)
	}
	file := filepath.Join(dir, "file"+strings.ReplaceAll(hostile, "/", ""))
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	cat := instance.Command{Args: []string{"cat", i.Path(file)}, Files: []string{file}}
	if got := instancetest.Output(t, i, cat, nil); got.Stdout != "content" {
		t.Errorf("got %+v; want the content", got)
	}
	for _, dir := range []string{dir, srv.Home(), ".", h.life.run} {
		if _, err := os.Lstat(filepath.Join(dir, "canary")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("something was run in %s (%v)", dir, err)
		}
	}
}

// What a shell can't do is refused before anything is started.
func TestStartRefused(t *testing.T) {
	i := &hostInstance{host: New(Config{Name: "desktop"}), id: "i"}
	run := func(change func(*instance.Command)) instance.Command {
		cmd := instance.Command{Args: []string{"true"}}
		change(&cmd)
		return cmd
	}
	tests := []struct {
		name, want string
		cmd        instance.Command
	}{
		{"no program", "names no program", instance.Command{}},
		{"an option", `"-x"`, run(func(c *instance.Command) { c.Args = []string{"-x"} })},
		{"NUL in an argument", "NUL", run(func(c *instance.Command) { c.Args = []string{"true", "\x00"} })},
		{"NUL in the directory", "NUL", run(func(c *instance.Command) { c.Dir = "\x00" })},
		{"NUL in a variable", "NUL", run(func(c *instance.Command) { c.Env = []string{"A=\x00"} })},
		{"no variable", `"A"`, run(func(c *instance.Command) { c.Env = []string{"A"} })},
		{"a variable that is a command", `"A;touch canary"`, run(func(c *instance.Command) {
			c.Env = []string{"A;touch canary=1"}
		})},
		{"a variable with a newline", `"A\nB"`, run(func(c *instance.Command) { c.Env = []string{"A\nB=1"} })},
		{"a relative file", `"file"`, run(func(c *instance.Command) { c.Files = []string{"file"} })},
	}
	for _, tt := range tests {
		if _, err := i.Start(t.Context(), tt.cmd); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want an error with %s", tt.name, err, tt.want)
		}
	}
}

// Setup runs in the shell that becomes the command, in its directory, and has
// no part in its input and output.
func TestSetup(t *testing.T) {
	t.Parallel()
	srv := server(t, lab.ServerOptions{})
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "activate"), []byte("A=activated\nexport A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, setup string
		want        instancetest.Result
	}{
		{"variables", ". ./activate", instancetest.Result{Stdout: "activated two\nx"}},
		{"variables of the command", "A=$C; export A", instancetest.Result{Stdout: "three two\nx"}},
		{"several lines", "A=one\nexport A", instancetest.Result{Stdout: "one two\nx"}},
		{"positional parameters", "set -- a b c", instancetest.Result{Stdout: " two\nx"}},
		{"output", "echo noise", instancetest.Result{Stdout: " two\nx", Stderr: "noise\n"}},
		{"input", "cat", instancetest.Result{Stdout: " two\nx"}},
		{"a comment", "# nothing", instancetest.Result{Stdout: " two\nx"}},
		{"failure", "(exit 7)", instancetest.Result{
			Status: instance.ExitStatus{Code: 7},
			Stderr: "testr: instance desktop: setup failed in " + dir + " with exit status 7\n",
		}},
		{"exit", "exit 0", instancetest.Result{
			Status: instance.ExitStatus{Code: 125},
			Stderr: "testr: instance desktop: setup failed in " + dir + " with exit status 0\n",
		}},
		{"failure of a line", "set -e\nfalse\ntrue", instancetest.Result{
			Status: instance.ExitStatus{Code: 1},
			Stderr: "testr: instance desktop: setup failed in " + dir + " with exit status 1\n",
		}},
	}
	for _, tt := range tests {
		i := instancetest.One(t, host(t, srv, Config{Directory: dir, Setup: tt.setup}))
		p := instancetest.Start(t.Context(), t, i, instance.Command{
			Args: []string{"/bin/sh", "-c", "echo \"$A\" \"$1\"; exec cat", "sh", "two"}, Env: []string{"C=three"},
		})
		got, err := instancetest.Finish(p, []byte("x"))
		if err != nil && !errors.Is(err, syscall.EPIPE) { // where there is no command, nobody reads
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	i := instancetest.One(t, host(t, srv, Config{Setup: "true"}))
	missing := instance.Command{Args: []string{"testr-no-such-program"}}
	if got := instancetest.Failure(t, i, missing); strings.Contains(got, "setup") {
		t.Errorf("got %q; want the setup not to be blamed for a command that isn't there", got)
	}
	for _, setup := range []string{". ./missing", "syntax ( error"} {
		i := instancetest.One(t, host(t, srv, Config{Directory: dir, Setup: setup}))
		got := instancetest.Output(t, i, instance.Command{Args: []string{"echo", "hello"}}, nil)
		if got.Status.Success() || got.Stdout != "" || !strings.Contains(got.Stderr, "setup failed in "+dir) {
			t.Errorf("%s: got %+v; want the setup to have failed", setup, got)
		}
	}
}

// The directory is looked at once, at the connect.
func TestDirectory(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	for _, dir := range []string{"source/nova", "~/source/nova"} {
		h := host(t, srv, Config{Directory: dir, Host: "desktop-nova.lxc"})
		err := h.Connect(t.Context())
		want := "instance desktop: directory source/nova does not exist on desktop-nova.lxc"
		if err == nil || err.Error() != want {
			t.Errorf("got %v; want %s", err, want)
		}
		if _, ok := errors.AsType[*instance.LostError](err); ok {
			t.Errorf("got %v; want no loss: the host is there", err)
		}
	}
	h := host(t, srv, Config{Directory: "source/nova", MakeDirectory: true})
	i := instancetest.One(t, h)
	got := instancetest.Output(t, i, instance.Command{Args: []string{"pwd"}}, nil)
	if got.Stdout != srv.Home()+"/source/nova\n" {
		t.Errorf("got %+v; want the directory that was made", got)
	}
	file := filepath.Join(srv.Home(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h = host(t, srv, Config{Directory: "file/sub", MakeDirectory: true})
	if err := h.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "can't be made") {
		t.Errorf("got %v; want it to say that the directory can't be made", err)
	}
	h = host(t, srv, Config{Env: []string{"A B=1"}})
	if err := h.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), `"A B"`) {
		t.Errorf("got %v; want it to name the variable", err)
	}
}

// S17: the environment and the setup are in nobody's command line, at no moment.
func TestSecrets(t *testing.T) {
	const secret = "hunter2hunter2"
	srv := server(t, lab.ServerOptions{})
	dir := t.TempDir()
	h := host(t, srv, Config{Directory: dir, Env: []string{"TOKEN=" + secret}, Setup: ": " + secret + "; cat fifo"})
	i := instancetest.One(t, h)
	fifo := filepath.Join(dir, "fifo")
	if err := exec.Command("mkfifo", fifo).Run(); err != nil {
		t.Fatal(err)
	}
	p := instancetest.Start(t.Context(), t, i, instance.Command{
		Args: []string{"/bin/sh", "-c", "echo ready; cat"}, Env: []string{"OTHER=" + secret},
	})
	look := func(when string) {
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil || len(files) == 0 {
			t.Fatalf("got %d processes, %v", len(files), err)
		}
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s: %s is %q", when, file, text)
			}
		}
		for _, req := range srv.Requests() {
			if bytes.Contains(req.Payload, []byte(secret)) {
				t.Errorf("%s: the request %q is %q", when, req.Type, req.Payload)
			}
		}
		if err := filepath.WalkDir(h.life.run, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if text, err := os.ReadFile(path); err != nil || bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s: %s has it (%v)", when, path, err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	instancetest.PID(t, p)
	look("during the setup")
	if err := os.WriteFile(fifo, []byte("go on\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	instancetest.AwaitReady(t, p)
	look("while it runs")
	if _, err := instancetest.Finish(p, nil); err != nil {
		t.Error(err)
	}
}

// Only sessions and commands are asked for: no signals, no variables, no
// forwarding.
func TestRequests(t *testing.T) {
	srv := server(t, lab.ServerOptions{})
	i := instancetest.One(t, host(t, srv, Config{Env: []string{"A=1"}}))
	p, _ := instancetest.StartLeaving(t, i, "setsid", "hold", 0)
	if _, err := instancetest.Finish(p, []byte("end\n")); err != nil {
		t.Fatal(err)
	}
	for _, req := range srv.Requests() {
		switch req.Type {
		case "session", "exec", "keepalive@openssh.com":
		default:
			t.Errorf("got a request %q", req.Type)
		}
	}
}
