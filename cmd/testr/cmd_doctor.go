package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"testr/internal/report"
	"testr/internal/runner"
)

// doctorOptions are those of doctor.
type doctorOptions struct {
	json    bool
	timeout time.Duration
}

func (o *doctorOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Destination: &o.json, Usage: "print one JSON document at the end"},
		&cli.DurationFlag{Name: "timeout", Destination: &o.timeout, Value: runner.DefaultCheckTimeout,
			Usage: "how long each step may take: `D`, such as 90s"},
	}
}

func newDoctorCommand(env *environment) *cli.Command {
	var o doctorOptions
	return &cli.Command{
		Name:  "doctor",
		Usage: "check the configuration, and every place where tests would run",
		Description: `Reads the configuration, lists the tests, and goes to every place where tests would run:
it starts a worker there without a test, reaches hosts, and has hooks get an instance
that it tries and gives back. It runs no test, records no run, and says what to fix.

The exit status is 0 if tests can run, 2 if the configuration is wrong, 3 if
something else can't work.`,
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			return runDoctor(c.Context, env, o)
		},
	}
}

func runDoctor(ctx context.Context, env *environment, o doctorOptions) error {
	if o.timeout <= 0 {
		return usage(fmt.Errorf("--timeout %s is no time to wait", o.timeout.Round(time.Millisecond)))
	}
	root, err := env.root()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	out := newDoctorOutput(env, o.json)
	found, err := runner.Doctor(ctx, runner.Checkup{Root: root, Timeout: o.timeout, Tell: out.tell,
		Request: runner.Request{Self: self, Log: env.log, Passphrase: env.passphrase(ctx),
			Warn: func(err error) { env.say("warning", err) }}})
	if err != nil {
		return err
	}
	status := statusPassed
	switch {
	case found.Faulty:
		status = statusUsage
	case found.Problems > 0:
		status = statusError
	}
	if err := unlessGone(out.end(found, status)); err != nil {
		return err
	}
	if status != statusPassed {
		return &exit{status: status}
	}
	return nil
}

// doctorOutput shows checks as they come, or all at the end as JSON.
type doctorOutput struct {
	env   *environment
	json  bool
	color bool
	err   error // of writing
	all   []jsonCheck
}

func newDoctorOutput(env *environment, json bool) *doctorOutput {
	_, isTerminal := terminal(env.stdout)
	return &doctorOutput{env: env, json: json, color: isTerminal && !noColor(), all: []jsonCheck{}}
}

// jsonCheck is a check in a JSON document, as docs/commands.md has it.
type jsonCheck struct {
	Instance *string `json:"instance"`
	Check    string  `json:"check"`
	Outcome  string  `json:"outcome"`
	Detail   string  `json:"detail"`
	Fix      *string `json:"fix"`
	File     *string `json:"file"`
	Line     *int    `json:"line"`
}

// orNull is a value in JSON that is null where there is none.
func orNull[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

func (o *doctorOutput) tell(c runner.Check) {
	if o.json {
		o.all = append(o.all, jsonCheck{orNull(c.Instance), c.Name, c.Outcome.String(), c.Detail, orNull(c.Fix),
			orNull(c.File), orNull(c.Line)})
		return
	}
	shown := report.Check{About: c.Name, Detail: c.Detail, Fix: c.Fix}
	if c.Instance != "" {
		shown.About = c.Instance + ": " + c.Name
	}
	switch c.Outcome {
	case runner.CheckOK:
		shown.Level = report.LevelOK
	case runner.CheckWarning:
		shown.Level = report.LevelWarning
	default:
		shown.Level = report.LevelFailure
	}
	if c.Line > 0 && c.Outcome != runner.CheckOK {
		shown.Place = fmt.Sprintf("%s:%d", c.File, c.Line)
	}
	if o.err == nil {
		_, o.err = o.env.stdout.Write(report.AppendCheck(nil, shown, o.color))
	}
}

// end sums up.
func (o *doctorOutput) end(found runner.Diagnosis, status int) error {
	if o.json {
		encoder := json.NewEncoder(o.env.stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			Version int         `json:"version"`
			Status  int         `json:"status"`
			Checks  []jsonCheck `json:"checks"`
		}{1, status, o.all})
	}
	if o.err != nil {
		return o.err
	}
	verdict := "all is well"
	if found.Problems > 0 {
		verdict = fmt.Sprintf("%d of %d checks failed", found.Problems, found.OK+found.Warnings+found.Problems)
	}
	if found.Warnings > 0 {
		verdict += fmt.Sprintf(", warnings: %d", found.Warnings)
	}
	_, err := fmt.Fprintln(o.env.stdout, verdict)
	return err
}
