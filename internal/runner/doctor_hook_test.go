package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"testr/internal/config"
	"testr/internal/instance"
	"testr/internal/repo"
)

// hooksConf is a section [instance vm] with these hooks, or with ones that keep
// the contract. They stand in lines 9 to 11; more comes at the end.
func hooksConf(provision, execute, dispose, more string) string {
	otherwise := func(is, good string) string {
		if is == "" {
			return good
		}
		return is
	}
	return streamConf + "\n[instance vm]\nslots=2\n" +
		"instance_provision=" + otherwise(provision, "for i in $(seq $INSTANCE_COUNT); do echo vm-$i; done") + "\n" +
		"instance_execute=" + otherwise(execute, ": $INSTANCE_ID $FILES; $COMMAND") + "\n" +
		"instance_dispose=" + otherwise(dispose, "echo $INSTANCE_IDS >>disposed") + "\n" + more
}

// filtered is an execute hook with a filter for what the command writes, that
// passes its exit status on; filteredInput is one with a filter for what it reads.
func filtered(how string) string {
	return "exec 4>&1; status=$({ { $COMMAND 4>&-; echo $? >&3; } | " + os.Args[0] + " filter " + how +
		" >&4; } 3>&1) # $INSTANCE_ID\n    exit $status"
}

func filteredInput(how string) string {
	return os.Args[0] + " filter " + how + " | $COMMAND # $INSTANCE_ID"
}

// The lines of the hooks.
const (
	provisionLine = 9
	executeLine   = 10
	disposeLine   = 11
)

// TestDoctorHooks breaks the rules of hooks one by one.
func TestDoctorHooks(t *testing.T) {
	t.Parallel()
	const batch = "[DEFAULT]\nworker=batch\ntest_command=sh worker.sh $LISTOPT $IDOPTION\ntest_id_option=$IDFILE\n" +
		"test_list_option=--list\n"
	tests := []struct {
		name                        string
		provision, execute, dispose string
		more                        string
		conf                        func(string) string
		trouble                     map[string]string // without "vm: "
		check                       string
		line                        int
		texts                       []string
		leases                      int
		disposed                    string // "vm-1\nvm-1\n" if it is empty
	}{
		{name: "good"},
		{name: "prints a trace", provision: "set -x; exec 2>&1; echo vm-1 # $INSTANCE_COUNT",
			trouble: map[string]string{"provision": "problem", "listing": "warning"}, check: "provision", line: provisionLine,
			texts: []string{"+ echo vm-1", "ids and nothing else"}, disposed: "-"},
		{name: "prints a message", provision: "echo Starting $INSTANCE_COUNT machine; echo vm-1",
			trouble: map[string]string{"provision": "problem", "listing": "warning"}, check: "provision", line: provisionLine,
			texts:    []string{"printed 4 words", "Starting 1 machine vm-1"},
			disposed: "1 Starting machine vm-1\n1 Starting machine vm-1\n"},
		{name: "gives what it likes", provision: "echo vm-1 vm-2", trouble: map[string]string{"provision": "warning"},
			check: "provision", line: provisionLine, texts: []string{"printed 2 ids", "$INSTANCE_COUNT"},
			disposed: "vm-1 vm-2\nvm-1 vm-2\n"},
		{name: "prints half a message", provision: "echo vm-$INSTANCE_COUNT:",
			trouble: map[string]string{"provision": "warning"}, check: "provision", line: provisionLine,
			texts: []string{"no id", "vm-1:"}, disposed: "vm-1:\nvm-1:\n"},
		{name: "prints control characters", provision: `printf 'vm-\033[1m%%s\n' $INSTANCE_COUNT`,
			trouble: map[string]string{"provision": "problem", "listing": "warning"}, check: "provision", line: provisionLine,
			texts: []string{"can't be printed"}, disposed: "-"},
		{name: "prints no ids", provision: ": $INSTANCE_COUNT",
			trouble: map[string]string{"provision": "problem", "listing": "warning"}, check: "provision", line: provisionLine,
			texts: []string{"it printed no ids"}, disposed: "-"},
		{name: "fails", provision: "echo vm-$INSTANCE_COUNT; echo no quota >&2; exit 4",
			trouble: map[string]string{"provision": "problem", "listing": "warning"}, check: "provision", line: provisionLine,
			texts: []string{"exit status 4", "no quota"}, disposed: "vm-1\n"},
		{name: "hangs", provision: "echo vm-$INSTANCE_COUNT; sleep 1000", more: "provision_timeout=1\n",
			trouble: map[string]string{"provision": "problem", "listing": "warning"}, check: "provision", line: provisionLine,
			texts: []string{"provision_timeout"}, disposed: "vm-1\n"},
		{name: "does not get there", execute: "echo no route to host >&2; exit 255 # $INSTANCE_ID $COMMAND",
			trouble: map[string]string{"execute": "problem", "listing": "warning"}, check: "execute", line: executeLine,
			texts: []string{"exit status 255", "no route to host"}},
		{name: "swallows exit statuses", execute: "$COMMAND; true $INSTANCE_ID",
			trouble: map[string]string{"exit status": "problem"}, check: "exit status", line: executeLine,
			texts: []string{"comes back as one that succeeded", "have its last command be the one"}},
		{name: "changes exit statuses", execute: "$COMMAND || exit 1 $INSTANCE_ID",
			trouble: map[string]string{"exit status": "problem"}, check: "exit status", line: executeLine,
			texts: []string{"comes back with exit status 1"}},
		{name: "drops stdin", execute: "$COMMAND </dev/null # $INSTANCE_ID $FILES",
			trouble: map[string]string{"stdin": "problem"}, check: "stdin", line: executeLine,
			texts: []string{"does not get there", "-i"}},
		{name: "prints before", execute: "echo Welcome.; $COMMAND # $INSTANCE_ID",
			trouble: map[string]string{"stdout": "warning", "worker": "warning"}, check: "stdout", line: executeLine,
			texts: []string{`"Welcome.\n"`, "start-up files"}},
		{name: "has a terminal", execute: filtered("crlf"),
			trouble: map[string]string{"stdout": "problem", "listing": "warning", "slots": "warning"}, check: "stdout",
			line: executeLine, texts: []string{`\n has become \r\n`, "without -t"}},
		{name: "loses bytes", execute: filtered("text"), trouble: map[string]string{"stdout": "problem"},
			check: "stdout", line: executeLine, texts: []string{`after 22 bytes there is "\xb3`, `instead of "\x00\xb3`}},
		{name: "loses bytes of input", execute: filteredInput("text"), trouble: map[string]string{"stdin": "problem"},
			check: "stdin", line: executeLine, texts: []string{"gets there changed", `instead of "\x00\xb3`}},
		{name: "merges stderr", execute: "$COMMAND 2>&1 # $INSTANCE_ID", trouble: map[string]string{"stderr": "problem"},
			check: "stderr", line: executeLine, texts: []string{"arrives on standard output"}},
		{name: "loses stderr", execute: "$COMMAND 2>/dev/null # $INSTANCE_ID",
			trouble: map[string]string{"stderr": "warning"}, check: "stderr", line: executeLine, texts: []string{"is lost"}},
		{name: "lets commands live", execute: "setsid -w $COMMAND # $INSTANCE_ID",
			trouble: map[string]string{"cancel": "warning"}, check: "cancel", line: executeLine,
			texts: []string{"goes on there"}},
		{name: "brings no files, and none are needed", execute: "rm -f $FILES; $COMMAND # $INSTANCE_ID"},
		{name: "brings no files", execute: "rm -f $FILES; $COMMAND # $INSTANCE_ID",
			conf:    func(c string) string { return strings.Replace(c, streamConf, batch, 1) },
			trouble: map[string]string{"files": "problem"}, check: "files", line: executeLine,
			texts: []string{"No such file", "have it bring $FILES"}},
		{name: "knows no files", execute: "set -- $COMMAND; [ \"$# $1\" != '2 cat' ] || rm $2; \"$@\" # $INSTANCE_ID",
			conf:    func(c string) string { return strings.Replace(c, streamConf, batch, 1) },
			trouble: map[string]string{"files": "problem"}, check: "files", line: executeLine,
			texts: []string{"No such file", "put $FILES into it"}},
		{name: "brings other files", execute: "for f in $FILES; do echo old >$f; done; $COMMAND # $INSTANCE_ID",
			trouble: map[string]string{"files": "problem"}, check: "files", line: executeLine,
			texts: []string{"with another content"}},
		{name: "can't dispose", dispose: "echo $INSTANCE_IDS >>disposed; echo stuck >&2; exit 3",
			trouble: map[string]string{"dispose": "problem"}, check: "dispose", line: disposeLine,
			texts: []string{"exit status 3", "stuck", "testr instances"}, leases: 1},
		{name: "disposes once", provision: "mkdir vm-$INSTANCE_COUNT && echo vm-$INSTANCE_COUNT",
			dispose: "rmdir $INSTANCE_IDS && echo $INSTANCE_IDS >>disposed",
			trouble: map[string]string{"dispose again": "warning"}, check: "dispose again", line: disposeLine,
			texts: []string{"given back already"}, disposed: "vm-1\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conf := hooksConf(test.provision, test.execute, test.dispose, test.more)
			if test.conf != nil {
				conf = test.conf(conf)
			}
			d := newDoctored(t, map[string]string{config.Name: conf})
			d.examine()
			trouble := map[string]string{}
			for name, outcome := range test.trouble {
				if name != "listing" && name != "slots" {
					name = "vm: " + name
				}
				trouble[name] = outcome
			}
			d.wantTrouble(trouble)
			if test.check != "" {
				outcome := CheckWarning
				if test.trouble[test.check] == "problem" {
					outcome = CheckProblem
				}
				d.want("vm: "+test.check, outcome, test.line, test.texts...)
			}
			d.wantLeases(test.leases)
			switch want := test.disposed; want {
			case "-": // who knows which
			case "":
				want = "vm-1\nvm-1\n"
				fallthrough
			default:
				if got := d.read("disposed"); got != want {
					t.Errorf("got %q disposed of; want %q", got, want)
				}
			}
		})
	}
}

// TestDoctorHooksThatWait has hooks that hold things back, which takes its time to
// be seen: all at once.
func TestDoctorHooksThatWait(t *testing.T) {
	t.Parallel()
	const noEnd = "mkfifo in$$; exec 5<&0; { cat <&5; sleep 1000; } >in$$ 5<&- & $COMMAND <in$$ 5<&- # $INSTANCE_ID"
	conf, executes := streamConf, []string{filtered("lines"), filteredInput("lines"), noEnd}
	lines := make([]int, len(executes))
	for n, execute := range executes {
		conf += fmt.Sprintf("[instance vm%d]\ninstance_provision=echo vm-%d-$INSTANCE_COUNT\n"+
			"instance_dispose=: $INSTANCE_IDS\n", n, n)
		lines[n] = strings.Count(conf, "\n") + 1
		conf += "instance_execute=" + execute + "\n"
	}
	d := newDoctored(t, map[string]string{config.Name: conf})
	d.timeout = 10 * time.Second
	d.examine()
	trouble := map[string]string{"vm0: buffering": "problem", "vm1: buffering": "problem", "vm2: stdin": "problem",
		"vm2: worker": "problem", "slots": "warning"}
	d.wantTrouble(trouble)
	d.want("vm0: buffering", CheckProblem, lines[0], "writes without a newline is held back until it ends", "srun -u")
	d.want("vm1: buffering", CheckProblem, lines[1], "held back until there is a newline")
	d.want("vm2: stdin", CheckProblem, lines[2], "whose input has ended, does not end")
	d.wantLeases(0)
}

// TestDoctorHooksOfDefault is about hooks without a section, and without an
// execute or a dispose command.
func TestDoctorHooksOfDefault(t *testing.T) {
	t.Parallel()
	hooks := streamConf + "instance_provision=echo vm-$INSTANCE_COUNT\n"
	d := newDoctored(t, map[string]string{config.Name: hooks + "instance_dispose=: $INSTANCE_IDS\n"})
	d.examine()
	d.wantTrouble(map[string]string{"configuration": "warning"})
	d.want("[DEFAULT]: provision", CheckOK, 0, "vm-1")
	d.want("[DEFAULT]: worker", CheckOK, 0)
	d.want("[DEFAULT]: dispose again", CheckOK, 0)
	d.want("listing", CheckOK, 0, "on [DEFAULT]")

	// What is not given back needs no repository.
	d = newDoctored(t, map[string]string{config.Name: hooks + "instance_execute=$COMMAND # $INSTANCE_ID\n"})
	if err := os.RemoveAll(d.path(repo.DirName)); err != nil {
		t.Fatal(err)
	}
	d.examine()
	d.wantTrouble(map[string]string{"configuration": "warning", "repository": "warning"})
}

// TestDoctorListsElsewhere: this machine comes first, but where a place lacks
// what the listing needs another one is asked, as in a run.
func TestDoctorListsElsewhere(t *testing.T) {
	t.Parallel()
	// The hook is done with its worker before this machine's turn has come.
	const execute = "if echo '$COMMAND' | grep -q worker; then touch ready; fi; $COMMAND # $INSTANCE_ID $FILES"
	conf := strings.Replace(hooksConf("", execute, "", ""), "sh worker.sh", "./worker.sh", 1)
	here := "[instance here]\ntype=local\ndirectory=sub\nslots=1\nsetup=until [ -e ../ready ]; do sleep 0.1; done\n"
	d := newDoctored(t, map[string]string{config.Name: strings.Replace(conf, "slots=2", "slots=1", 1) + here})
	if err := os.Mkdir(d.path("sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.write("worker.sh", "#!/bin/sh\n"+workerScript)
	if err := os.Chmod(d.path("worker.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.examine()
	d.wantTrouble(map[string]string{"here: worker": "problem", "listing": "warning"})
	d.want("listing", CheckWarning, 3, "on here", "exit status 127", "another place")
	d.want("listing", CheckOK, 0, "2 tests", "on vm")

	// With nobody else to ask it is a problem.
	d.write(config.Name, strings.Replace(streamConf, "sh worker.sh", "./worker.sh", 1)+here+
		strings.Replace(here, "here", "there", 1))
	d.checks = nil
	d.examine()
	d.wantTrouble(map[string]string{"here: worker": "problem", "there: worker": "problem", "listing": "problem"})
	d.want("listing", CheckProblem, 0, "no place can list the tests")
}

// TestDoctorHooksWithoutRepository: nothing is got that could be forgotten.
func TestDoctorHooksWithoutRepository(t *testing.T) {
	t.Parallel()
	d := newDoctored(t, map[string]string{config.Name: hooksConf("touch got; echo vm-1 $INSTANCE_COUNT", "", "", "")})
	r, err := repo.Open(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	d.examine()
	d.wantTrouble(map[string]string{"repository": "warning", "vm: provision": "problem", "listing": "warning"})
	d.want("vm: provision", CheckProblem, provisionLine, "not tried", "when the run has ended")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(d.path(repo.DirName)); err != nil {
		t.Fatal(err)
	}
	d.checks = nil
	d.examine()
	d.want("vm: provision", CheckProblem, provisionLine, "not tried", "testr init")
	if d.read("got") != "" {
		t.Error("a hook was called")
	}
}

// TestDoctorInterrupted: what was got is given back when the caller has had
// enough, and nothing that fails for that is told.
func TestDoctorInterrupted(t *testing.T) {
	t.Parallel()
	const hangs = ": $INSTANCE_ID $COMMAND; touch begun; sleep 1000"
	d := newDoctored(t, map[string]string{config.Name: hooksConf("", hangs, "", "")})
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Doctor(ctx, d.checkup())
		ended <- err
	}()
	for waiting := true; waiting; {
		if _, err := os.Stat(d.path("begun")); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended by itself: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	enough := errors.New("enough")
	cancel(enough)
	if err := <-ended; !errors.Is(err, enough) {
		t.Errorf("got %v; want %v", err, enough)
	}
	for _, c := range d.checks {
		if c.Outcome != CheckOK {
			t.Errorf("got %+v; want nothing but what is well", c)
		}
	}
	d.want("vm: dispose", CheckOK, 0, "1 instance was given back")
	if got := d.read("disposed"); got != "vm-1\n" {
		t.Errorf("got %q disposed of; want vm-1", got)
	}
	d.wantLeases(0)
}

// TestConversation: a command that ends, or says nothing, is not waited for
// without end.
func TestConversation(t *testing.T) {
	t.Parallel()
	made, err := (&instance.Local{}).Provision(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = made[0].Close() }()
	for script, want := range map[string]bool{
		"printf yes; read -r x": true, "printf 'ye'; printf s": true, "echo no": false, "exit 3": false,
		"read -r x; printf yes": false,
	} {
		limit := 10 * time.Second
		if strings.HasPrefix(script, "read") {
			limit = 100 * time.Millisecond
		}
		c, err := (&doctor{}).converse(t.Context(), made[0], instance.Command{Args: []string{"/bin/sh", "-c", script}})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.await("yes", limit); got != want {
			t.Errorf("%s: got %v; want %v", script, got, want)
		}
		c.finish(10 * time.Second)
	}
}

// TestArrival is what becomes of bytes on their way.
func TestArrival(t *testing.T) {
	const sent = "abcd\nef\x00"
	tests := []struct {
		got  string
		want received
	}{
		{sent, received{whole: true}},
		{"", received{}},
		{"hello\n" + sent + "\nbye", received{whole: true, extra: "hello\n\nbye"}},
		{"abcd\r\nef\x00", received{changed: `each newline \n has become \r\n, as on a terminal`}},
		{"x abcd\nef", received{changed: `after 7 bytes there is "" instead of "\x00"`}},
		{"bcd", received{changed: `it begins with "bcd" instead of "abcd\nef\x00"`}},
	}
	for _, test := range tests {
		if got := arrival([]byte(sent), []byte(test.got)); got != test.want {
			t.Errorf("%q: got %+v; want %+v", test.got, got, test.want)
		}
	}
}

// TestSaying bounds what others wrote.
func TestSaying(t *testing.T) {
	var lines []string
	for n := range 20 {
		lines = append(lines, fmt.Sprintf("line %d", n))
	}
	got := saying(strings.Join(lines, "\r\n") + "\n\n")
	if want := ":\n[...]\n" + strings.Join(lines[12:], "\n"); got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	if got := saying(strings.Repeat("x", 10_000)); len(got) > 600 {
		t.Errorf("got %d bytes of one line", len(got))
	}
	if got := saying(" \n"); got != "" {
		t.Errorf("got %q of nothing", got)
	}
}
