// Command lab is what `make lab` runs: hosts on this machine to try testr with
// by hand, for as long as the command runs. docs/lab.md says more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/template"
	"time"

	"testr/internal/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	default:
		_, _ = fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// run starts a lab, says how to use it, and takes it away when ctx or stdin
// ends.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(stderr)
	hosts := flags.Int("hosts", 3, "how many hosts to start")
	delay := flags.Duration("delay", 0, "how late packets arrive, in each direction")
	rate := flags.Int64("rate", 0, "speed of each link in bits a second; 0 means no limit")
	maxSessions := flags.Int("max-sessions", 0, "MaxSessions of each sshd; 0 means its default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	dir, err := os.MkdirTemp("", "testr-lab-")
	if err != nil {
		return fmt.Errorf("make a directory for the lab: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l, err := lab.Start(ctx, dir, *hosts, lab.Options{Host: func(int) lab.HostOptions {
		return lab.HostOptions{Delay: *delay, Rate: *rate, MaxSessions: *maxSessions}
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := usage.Execute(stdout, l); err != nil {
		return fmt.Errorf("say how to use the lab: %w", err)
	}
	await(ctx, stdin)
	return nil
}

// await returns when ctx or stdin ends. What reads stdin may outlive it: a read
// can't be called off, and the process ends soon.
func await(ctx context.Context, stdin io.Reader) {
	end := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(end)
	}()
	select {
	case <-ctx.Done():
	case <-end:
	}
}

// usage is what one can do with a lab.
var usage = template.Must(template.New("usage").Funcs(template.FuncMap{
	"slots": func(i int) int { return []int{1, 2, 5}[i%3] },
	"now":   func() string { return time.Now().Format(time.TimeOnly) },
}).Parse(`The lab runs since {{now}}, until Ctrl-C or the end of stdin. Its hosts share this
machine's files and processes; who logs in is root.
{{range .Hosts}}
  {{.Name}}  {{.Addr}}  log: {{.Dir}}/sshd.log{{end}}

Let testr and ssh know the hosts:

  export HOME={{.Home}}
  ssh -F {{.Config}} {{(index .Hosts 0).Name}} 'hostname -I; pwd'

Paste into .testr.conf:
{{range $i, $host := .Hosts}}
[instance {{.Name}}]
type=ssh
host={{.Name}}
slots={{slots $i}}
directory=work
sync=yes
{{end}}
Cut a host off, and let it come back:
{{range .Hosts}}
  ip -n {{.Namespace}} link set {{.Link}} down
  ip -n {{.Namespace}} link set {{.Link}} up
{{end}}
See what runs on a host, and run something there:

  ip netns pids {{(index .Hosts 0).Namespace}}
  ip netns exec {{(index .Hosts 0).Namespace}} ss -tn

`))
