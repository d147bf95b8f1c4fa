package runner

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"testr/internal/instance"
	"testr/internal/instance/sshhost"
)

// The names of checks of commands on what hooks get.
const (
	checkExecute   = "execute"
	checkFiles     = "files"
	checkStdin     = "stdin"
	checkStdout    = "stdout"
	checkStderr    = "stderr"
	checkStatus    = "exit status"
	checkBuffering = "buffering"
	checkCancel    = "cancel"
)

// probeScript does on an instance what its argument says.
//
//go:embed probe.sh
var probeScript string

// carrier is how probeScript gets to an instance. A hook may start commands with
// or without a shell, here or there, so that nothing of them may need a quote:
// what takes more than a word stands in the script.
type carrier struct {
	script string // its file here
	sample string // a file with sampleBytes
	files  bool   // they are there
	stdin  bool   // what is written to a command gets to it
}

// newCarrier writes the files.
func newCarrier(dir string) (*carrier, error) {
	c := &carrier{script: filepath.Join(dir, "probe.sh"), sample: filepath.Join(dir, "sample")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("write files for the hooks: %w", err)
	}
	for name, content := range map[string][]byte{c.script: []byte(probeScript), c.sample: sampleBytes()} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return nil, fmt.Errorf("write files for the hooks: %w", err)
		}
	}
	return c, nil
}

// sampleBytes are all there are, and what transports are known to change. There
// is no newline at the end.
func sampleBytes() []byte {
	b := []byte("testr doctor\ntwo\r\n\x1b[0m\x00\xb3")
	for i := range 256 {
		b = append(b, byte(i))
	}
	return append(b, "\nthe end"...)
}

// command has the script do something, and is the input that it needs for that.
func (c *carrier) command(args ...string) (instance.Command, []byte) {
	cmd := instance.Command{Args: append([]string{"sh", c.script}, args...), Files: []string{c.script, c.sample}}
	if c.files {
		return cmd, nil
	}
	cmd.Args[1] = "-s"
	return cmd, []byte(probeScript)
}

// executes looks at what becomes of commands on an instance.
func (p *patient) executes(ctx context.Context, at place) {
	if !p.conf.Execute.Set() {
		p.works(ctx, at, "") // they run on this machine, as the configuration's warning says
		return
	}
	var err error
	dir := filepath.Join(p.session.temp, "doctor", strconv.Itoa(p.conf.Line))
	if p.carrier, err = newCarrier(dir); err != nil {
		p.problem(checkExecute, "", "", "%v", err)
		return
	}
	r := p.run(ctx, at, instance.Command{Args: []string{"true"}}, nil)
	if !r.well() {
		p.problem(checkExecute, optionExecute, cmp.Or(fixOf(r.err), "run it by hand, with the command true"),
			"the command true, which does nothing and succeeds: %s", r.end())
		return
	}
	p.ok(checkExecute, "a command takes %s", short(r.took))
	p.transport(ctx, at, r)
	if !p.carrier.files && !p.carrier.stdin {
		p.warn(checkStatus, optionExecute, "mend what is said of files and stdin",
			"exit statuses, stderr, a worker and the rest were not tried: nothing gets to the instance that would do it")
		return
	}
	p.exitStatus(ctx, at)
	p.standardError(ctx, at)
	p.buffering(ctx, at, r.took)
	p.cancels(ctx, at)
	if !p.session.served() || p.hookFits(ctx, at) {
		p.works(ctx, at, "")
	}
}

// transport checks that files, input and output arrive as they are. nothing is
// a command that wrote nothing.
func (p *patient) transport(ctx context.Context, at place, nothing *ran) {
	c, sample := p.carrier, sampleBytes()
	read := p.run(ctx, at, instance.Command{Args: []string{"cat", c.sample}, Files: []string{c.script, c.sample}}, nil)
	file := arrival(sample, read.stdout.bytes)
	echo := p.run(ctx, at, instance.Command{Args: []string{"cat"}}, sample)
	input := arrival(sample, echo.stdout.bytes)
	c.files = read.well() && !file.absent()
	c.stdin = echo.well() && !input.absent()
	if c.files && file.changed != "" && input.whole {
		p.problem(checkFiles, optionExecute, "have it bring $FILES each time: their names are new in each run",
			"%s is there with another content: %s", c.sample, file.changed)
		c.files = false
	} else {
		p.filesArrive(read)
	}
	p.inputArrives(echo, input, file)
	p.outputIsPure(nothing, file, input)
}

// needed is a problem for tests that need it, and nothing much for others.
func (p *patient) needed(is bool, name, fix, format string, args ...any) {
	if is {
		p.problem(name, optionExecute, fix, format, args...)
		return
	}
	p.ok(name, format+"; test_command has no need of it", args...)
}

// needsFiles says whether workers read files of testr.
func (p *patient) needsFiles() bool {
	return slices.ContainsFunc(p.session.profiles, func(p *profile) bool {
		if p.plan.stream != nil {
			return len(p.plan.stream.files) > 0
		}
		return strings.Contains(p.plan.template.Command+p.plan.template.IDOption, "$IDFILE")
	})
}

// streams says whether there are workers that are given tests by their input.
func (p *patient) streams() bool {
	return slices.ContainsFunc(p.session.profiles, func(p *profile) bool { return p.plan.stream != nil })
}

func (p *patient) filesArrive(read *ran) {
	if p.carrier.files {
		p.ok(checkFiles, "they are at their paths")
		return
	}
	fix := "have it bring $FILES to where they are here, before the command starts"
	if !strings.Contains(p.conf.Execute.Text, "$FILES") {
		fix = "put $FILES into it: they are files that have to be at the same paths there"
	}
	p.needed(p.needsFiles(), checkFiles, fix, "cat %s, which is one of $FILES: %s", p.carrier.sample, read.end())
}

func (p *patient) inputArrives(echo *ran, input, file received) {
	const fix = "have it pass its standard input on: ssh without -n and -f, docker exec and kubectl exec with -i, " +
		"no </dev/null and no & behind it"
	needed := p.streams()
	switch {
	case echo.slow():
		p.needed(needed, checkStdin, fix, "cat, whose input has ended, does not end within %v", p.Timeout)
	case !echo.well():
		p.needed(needed, checkStdin, fix, "cat, with some input: %s", echo.end())
	case input.absent():
		p.needed(needed, checkStdin, fix, "what is written to a command does not get there")
	case input.changed != "" && file.whole:
		p.needed(needed, checkStdin, fix+"; no -t either",
			"what is written to a command gets there changed: %s", input.changed)
	default:
		p.ok(checkStdin, "it arrives, and so does its end")
	}
}

func (p *patient) outputIsPure(nothing *ran, file, input received) {
	changed := cmp.Or(file.changed, input.changed)
	switch extra := cmp.Or(string(nothing.stdout.bytes), file.extra, input.extra); {
	case file.changed != "" && input.whole, input.changed != "" && file.whole: // which was told
		p.ok(checkStdout, "it arrives as it is")
	case changed != "":
		p.problem(checkStdout, optionExecute, "have it change no byte: docker exec, kubectl exec and ssh without -t, srun -u",
			"what a command writes is changed on the way: %s", changed)
	case extra != "":
		p.warn(checkStdout, optionExecute,
			"have what prints that be silent, or print to standard error: the start-up files of a shell there, or the hook",
			"there is more in it than the command wrote: %.200q", extra)
	case file.absent() && input.absent():
		p.warn(checkStdout, optionExecute, "", "nothing was seen of it")
	default:
		p.ok(checkStdout, "it arrives as it is, byte for byte")
	}
}

// received is what became of some bytes.
type received struct {
	whole   bool   // they are there
	extra   string // what was there beside
	changed string // how they were changed
}

// absent says that there is nothing of them.
func (r received) absent() bool { return !r.whole && r.changed == "" }

// arrival says what became of what was sent.
func arrival(sent, got []byte) received {
	if i := bytes.Index(got, sent); i >= 0 {
		return received{whole: true, extra: string(got[:i]) + string(got[i+len(sent):])}
	}
	if len(got) == 0 {
		return received{}
	}
	if bytes.Contains(got, bytes.ReplaceAll(sent, []byte("\n"), []byte("\r\n"))) {
		return received{changed: `each newline \n has become \r\n, as on a terminal`}
	}
	at := bytes.Index(got, sent[:4])
	if at < 0 {
		return received{changed: fmt.Sprintf("it begins with %.40q instead of %.40q", got, sent)}
	}
	got = got[at:]
	n := 0
	for n < min(len(got), len(sent)) && got[n] == sent[n] {
		n++
	}
	return received{changed: fmt.Sprintf("after %d bytes there is %.20q instead of %.20q", n, got[n:], sent[n:])}
}

// script has the script do something to its end.
func (p *patient) script(ctx context.Context, at place, args ...string) *ran {
	cmd, input := p.carrier.command(args...)
	return p.run(ctx, at, cmd, input)
}

func (p *patient) exitStatus(ctx context.Context, at place) {
	const fix = "have its last command be the one that runs $COMMAND: what stands behind that, or a pipe, " +
		"has the last word; kubectl and docker need exec, not run -d"
	switch r := p.script(ctx, at, "exit"); {
	case r.err != nil:
		p.problem(checkStatus, optionExecute, fixOf(r.err), "a command that exits with 7: %s", r.end())
	case r.status.Code == 7:
		p.ok(checkStatus, "a command that exits with 7 comes back as that")
	case r.status.Success():
		p.problem(checkStatus, optionExecute, fix, "a command that exits with 7 comes back as one that succeeded: "+
			"workers that die would seem to be done")
	default:
		p.problem(checkStatus, optionExecute, fix, "a command that exits with 7 comes back with %s", r.end())
	}
}

func (p *patient) standardError(ctx context.Context, at place) {
	r := p.script(ctx, at, "stderr")
	out, err := string(r.stdout.bytes), string(r.stderr.bytes)
	switch {
	case !r.well():
		p.problem(checkStderr, optionExecute, fixOf(r.err), "a command that writes to it: %s", r.end())
	case strings.Contains(out, "to stderr"):
		p.problem(checkStderr, optionExecute,
			"leave standard error alone: no 2>&1 behind $COMMAND, no -t for docker, kubectl or ssh",
			"what a command writes to it arrives on standard output, where the packets are")
	case !strings.Contains(err, "to stderr"):
		p.warn(checkStderr, optionExecute, "leave standard error alone: no 2>/dev/null behind $COMMAND",
			"what a command writes to it is lost: nobody learns why a worker died")
	default:
		p.ok(checkStderr, "it arrives, apart from standard output")
	}
}

// hookFits checks that testr can run on the instance, which has to serve workers
// there.
func (p *patient) hookFits(ctx context.Context, at place) bool {
	r := p.script(ctx, at, "platform")
	system, machine, _ := strings.Cut(lastLine(r.stdout.bytes), " ")
	if !r.well() || machine == "" {
		p.problem(checkPlatform, "test_command", fixOf(r.err), "ask for the system there: %s", r.end())
		return false
	}
	if err := fits(sshhost.Info{OS: system, Machine: machine}); err != nil {
		p.problem(checkPlatform, "test_command", "run the tests in batches: worker=batch", "%v", err)
		return false
	}
	p.ok(checkPlatform, "%s %s", system, machine)
	return true
}

// lastLine is the last of some output: what else prints does so before.
func lastLine(b []byte) string {
	text := strings.TrimSpace(string(b))
	return text[strings.LastIndex(text, "\n")+1:]
}
