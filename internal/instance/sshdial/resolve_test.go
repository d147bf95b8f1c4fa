package sshdial

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

// found is what Resolve has found out, for comparison.
type found struct {
	Alias, HostName, Port, User string
	Network, Bind               string
	Patience                    time.Duration
	Jump                        []string // from here to there
	Command                     string
	Keys, Certificates          []string
	OnlyKeys                    bool
	Agent                       string
	KnownAs                     string
	Known                       []string
	AcceptNew, Hash             bool
	Keepalive                   time.Duration
	Misses                      int
}

func findOut(t *Target) found {
	f := found{
		Alias: t.Alias, HostName: t.HostName, Port: t.Port, User: t.User, Network: t.network, Bind: t.bind,
		Patience: t.patience, Command: t.command, Certificates: t.certificates, OnlyKeys: t.onlyKeys,
		Agent: t.agent, KnownAs: t.knownAs, Known: t.known, AcceptNew: t.acceptNew, Hash: t.hash,
		Keepalive: t.o.Keepalive, Misses: t.o.Misses,
	}
	if !t.implied {
		f.Keys = t.keys
	}
	for jump := t.jump; jump != nil; jump = jump.jump {
		f.Jump = append([]string{jump.String()}, f.Jump...)
	}
	return f
}

// writeFiles writes files below a home directory, and returns Options for it.
func writeFiles(t testing.TB, files map[string]string) Options {
	t.Helper()
	home := t.TempDir()
	for name, text := range files {
		name = filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(text, "HOME", home)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Options{Home: home, ConfigFile: filepath.Join(home, ".ssh", "config")}
}

func TestResolve(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	t.Setenv("TESTR_WHERE", "there")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	base := func(change func(*found)) found {
		f := found{
			Alias: "w1", HostName: "w1", Port: "22", User: me.Username, Network: "tcp", Patience: defaultPatience,
			Agent: "/run/agent", Known: []string{
				"HOME/.ssh/known_hosts", "HOME/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2",
			},
			Keepalive: 5 * time.Second, Misses: 3,
		}
		change(&f)
		return f
	}
	for _, test := range []struct {
		name, alias, config string
		more                map[string]string
		want                found
	}{
		{name: "nothing", alias: "w1", want: base(func(*found) {})},
		{name: "a user in the name", alias: "bob@w1", config: "User alice",
			want: base(func(f *found) { f.User = "bob" })},
		{name: "an address", alias: "fe80::1", want: base(func(f *found) { f.Alias, f.HostName = "fe80::1", "fe80::1" })},
		{name: "place", alias: "w1", config: "Host w1\n\tHostName = W1.Example.COM\n  port=0222\n  USER \"bob\" # me\n" +
			"AddressFamily inet\nBindAddress 10.0.0.1\nConnectTimeout 1m30",
			want: base(func(f *found) {
				f.HostName, f.Port, f.User = "w1.example.com", "222", "bob"
				f.Network, f.Bind, f.Patience = "tcp4", "10.0.0.1", 90*time.Second
			})},
		{name: "keepalive", alias: "w1", config: "ServerAliveInterval 1m\nServerAliveCountMax 2\n",
			want: base(func(f *found) { f.Keepalive, f.Misses = time.Minute, 2 })},
		{name: "no keepalive, as ssh has it", alias: "w1", config: "ServerAliveInterval 0\nServerAliveCountMax 0\n",
			want: base(func(*found) {})},
		{name: "the first value counts", alias: "w1",
			config: "Host w?\n Port 1\nHost w1\n Port 2\n User bob\nHost *\n Port 3\n",
			want:   base(func(f *found) { f.Port, f.User = "1", "bob" })},
		{name: "patterns", alias: "w1", config: "Host ?\n Port 1\nHost w1?\n Port 2\nHost W1\n Port 3\n" +
			"Host w* !w1\n Port 4\nHost !w1 *\n Port 5\nHost x\ty \"w1\"\n Port 6\n",
			want: base(func(f *found) { f.Port = "6" })},
		{name: "tokens", alias: "w1", config: "HostName %h.example.com\nUser bob\nPort 7\nHostKeyAlias Fleet\n" +
			"IdentityFile ~/.ssh/%r@%h:%p-%n-%k%%\nIdentityFile ${TESTR_WHERE}/key\nIdentityFile %d/x\n" +
			"CertificateFile ~/badge\nIdentityAgent %d/agent\nUserKnownHostsFile %d/a \"~/b c\"\nGlobalKnownHostsFile /g\n",
			want: base(func(f *found) {
				f.HostName, f.Port, f.User, f.KnownAs = "w1.example.com", "7", "bob", "fleet"
				f.Keys = []string{"HOME/.ssh/bob@w1.example.com:7-w1-fleet%", "there/key", "HOME/x"}
				f.Certificates, f.Agent = []string{"HOME/badge"}, "HOME/agent"
				f.Known = []string{"HOME/a", "HOME/b c", "/g"}
			})},
		{name: "keys", alias: "w1", config: "IdentitiesOnly yes\nHost w1\nIdentityFile /a\nHost x\nIdentityFile /b\n" +
			"Host *\nIdentityFile /c#1 # not /d\nIdentityFile /a\nIdentityAgent none\n",
			want: base(func(f *found) { f.Keys, f.OnlyKeys, f.Agent = []string{"/a", "/c#1"}, true, "" })},
		{name: "strictness", alias: "w1", config: "StrictHostKeyChecking accept-new\nHashKnownHosts yes\n" +
			"UserKnownHostsFile none\nGlobalKnownHostsFile none\n",
			want: base(func(f *found) { f.AcceptNew, f.Hash, f.Known = true, true, nil })},
		{name: "a command", alias: "w1",
			config: "HostName h\nUser bob\nProxyCommand = nc -x \"a b\" %h %p '%r' %n %% # c\nProxyJump j\n",
			want: base(func(f *found) {
				f.HostName, f.User, f.Command = "h", "bob", `nc -x "a b" h 22 'bob' w1 % # c`
			})},
		{name: "a command with names that a shell would expand", alias: "~w*", config: "ProxyCommand nc %h %n\n",
			want: base(func(f *found) { f.Alias, f.HostName, f.Command = "~w*", "~w*", "nc '~w*' '~w*'" })},
		{name: "no command", alias: "w1", config: "ProxyCommand none\nProxyCommand nc\nProxyJump j\n",
			want: base(func(*found) {})},
		{name: "jump hosts", alias: "w1", config: "Host w1\n ProxyJump bob@a:2,[::1]:3,ssh://carol@c:4\n" +
			"Host a\n HostName a.example\n ProxyJump z\nHost c\n ProxyCommand nc\nUser nobody\nPort 9\n",
			want: base(func(f *found) {
				f.Jump = []string{me.Username + "@z:22", "bob@a.example:2", me.Username + "@[::1]:3", "carol@c:4"}
			})},
		{name: "a jump with tokens", alias: "w1", config: "Host w1\nHostName h\nProxyJump gate-%n-%h:%p\n",
			want: base(func(f *found) { f.HostName, f.Jump = "h", []string{me.Username + "@gate-w1-h:22"} })},
		{name: "a jump before a command", alias: "w1", config: "Host w1\nProxyJump j\nProxyCommand nc\n",
			want: base(func(f *found) { f.Jump = []string{me.Username + "@j:22"} })},
		{name: "no jump before a command", alias: "w1", config: "ProxyJump none\nProxyCommand nc\n",
			want: base(func(f *found) { f.Command = "nc" })},
		{name: "includes", alias: "w1",
			config: "Include one \"two words\" ~/.ssh/dir/*.conf HOME/.ssh/abs missing\nPort 9\n" +
				"Host x\nInclude never\nHost w1\nInclude inner\nIdentityFile /last\n",
			more: map[string]string{
				".ssh/one": "User bob\nHost x\nPort 1", ".ssh/two words": "IdentityFile /two",
				".ssh/dir/a.conf": "IdentityFile /a", ".ssh/dir/b.conf": "IdentityFile /b",
				".ssh/abs": "HashKnownHosts yes", ".ssh/never": "User x\nMatch exec x\n",
				".ssh/inner": "Host w1\nHostName inner\nHost x\nBindAddress x\n",
			},
			want: base(func(f *found) {
				f.User, f.Port, f.Hash, f.HostName = "bob", "9", true, "inner"
				f.Keys = []string{"/two", "/a", "/b", "/last"}
			})},
		{name: "match all", alias: "w1", config: "Host x\nPort 1\nMatch all\nPort 2\n",
			want: base(func(f *found) { f.Port = "2" })},
		{name: "lines of no meaning", alias: "w1",
			config: "\n\r\n# c\n  # Port 1\nFutureOption 1 2 3\nPort 4\r\nSendEnv A\nSendEnv B\n",
			want:   base(func(f *found) { f.Port = "4" })},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{".ssh/config": test.config}
			maps.Copy(files, test.more)
			o := writeFiles(t, files)
			target, err := Resolve(t.Context(), test.alias, o)
			if err != nil {
				t.Fatalf("Resolve error: %v", err)
			}
			got := findOut(target)
			for _, list := range [][]string{got.Keys, got.Certificates, got.Known} {
				for i := range list {
					list[i] = strings.ReplaceAll(list[i], o.Home, "HOME")
				}
			}
			got.Agent = strings.ReplaceAll(got.Agent, o.Home, "HOME")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Resolve (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, test := range []struct{ name, alias, config, says, hint string }{
		{"nothing", "", "", "it is empty", ""},
		{"an option", "-oProxyCommand=id", "", "begins with a dash", ""},
		{"a command", "w1;id", "", "has a character", ""},
		{"a substitution", "$(id)", "", "has a character", ""},
		{"a backtick", "a`id`", "", "has a character", ""},
		{"a newline", "w1\nw2", "", "has a character", ""},
		{"an escape", "w1\x1b[2J", "", "has a character", ""},
		{"a NUL", "w1\x00", "", "has a character", ""},
		{"a blank", "w1 w2", "", "has a character", ""},
		{"no text", "w1\xff", "", "has a character", ""},
		{"a quotation mark", "w'1", "", "has a character", ""},
		{"a port", "w1:2222", "", "has a colon", "`Port 2222` under `Host w1`"},
		{"no user", "@w1", "", "no user before the @", ""},
		{"a user that is an option", "-l@w1", "", "user name: ", ""},
		{"a user that is a command", "$(id)@w1", "", "user name: ", ""},
		{"a user with an @", "a@b;c@w1", "", "user name: ", ""},
		{"a host name that is a command", "w1", "HostName $(id)", "HostName: ", ""},
		{"a host name that is an option", "w1", "HostName -x", "HostName: ", ""},
		{"a host name of unknown tokens", "w1", "HostName %x", "%x stands for nothing", ""},
		{"a host name that ends in a token", "w1", "HostName a%", "ends in a single %", ""},
		{"port 0", "w1", "Port 0", "port \"0\"", ""},
		{"port 70000", "w1", "Port 70000", "port \"70000\"", ""},
		{"no port", "w1", "Port ssh", "port \"ssh\"", ""},
		{"no value", "w1", "Port 1\n\nUser  # me", "config:3: user has no value", ""},
		{"half a quotation", "w1", "User \"bob", "config:1: a quotation mark", ""},
		{"half a pattern", "w1", "Include [", "config:1: include", ""},
		{"no such family", "w1", "AddressFamily ipx", "AddressFamily", ""},
		{"no such strictness", "w1", "StrictHostKeyChecking maybe", "StrictHostKeyChecking", ""},
		{"no time", "w1", "ConnectTimeout soon", "ConnectTimeout", ""},
		{"no interval", "w1", "ServerAliveInterval often", "ServerAliveInterval", ""},
		{"no count", "w1", "ServerAliveCountMax -1", "ServerAliveCountMax", ""},
		{"no such time", "w1", "ConnectTimeout 99999999999", "ConnectTimeout", ""},
		{"no such variable", "w1", "IdentityFile ${TESTR_NO_SUCH}", "${TESTR_NO_SUCH}", ""},
		{"half a variable", "w1", "IdentityFile ${TESTR", "has no name or no other end", ""},
		{"no such user", "w1", "IdentityFile ~testr-no-such-user/x", "testr-no-such-user", ""},
		{"itself", "w1", "Include config", "include one another", ""},
		{"itself twice", "w1", "Include config\nInclude config", "include one another", ""},
		{"no end of jumps", "w1", "ProxyJump x%h", "more than 16 jump hosts", ""},
		{"a circle of one", "w1", "ProxyJump w1", "in a circle", "`ProxyJump none` under `Host w1`"},
		{"a circle of all", "w1", "Host *\nProxyJump gate", "in a circle", "under `Host gate`"},
		{"a circle of two", "w1", "Host w1\nProxyJump w2\nHost w2\nProxyJump w1", "in a circle", ""},
		{"a jump to nowhere", "w1", "ProxyJump a,,b", "it is empty", ""},
		{"a jump that is a command", "w1", "ProxyJump $(id)", "has a character", ""},
		{"a jump without a port", "w1", "ProxyJump a:", "no port", ""},
		{"a jump to half an address", "w1", "ProxyJump [::1", "a [ without a ]", ""},
		{"a jump of nobody", "w1", "ProxyJump @a", "no user", ""},
		{"a command of unknown tokens", "w1", "ProxyCommand nc %q", "%q stands for nothing", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := writeFiles(t, map[string]string{".ssh/config": test.config + "\n"})
			_, err := Resolve(t.Context(), test.alias, o)
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, ErrConfiguration) || !strings.Contains(e.Error(), test.says) {
				t.Fatalf("Resolve error is %v; want one of ErrConfiguration with %q in it", err, test.says)
			}
			if !strings.Contains(e.Hint, test.hint) {
				t.Errorf("the hint is %q; want %q in it", e.Hint, test.hint)
			}
			if strings.ContainsAny(err.Error(), "\x00\x1b\n") {
				t.Errorf("the error has control characters: %q", err)
			}
		})
	}
}

// A file that others could write to names programs to run.
func TestResolveChecksModes(t *testing.T) {
	o := writeFiles(t, map[string]string{".ssh/config": "Include more\n", ".ssh/more": "User bob\n"})
	named := o.ConfigFile
	o.ConfigFile = ""
	for _, file := range []string{named, filepath.Join(o.Home, ".ssh", "more")} {
		if err := os.Chmod(file, 0o620); err != nil {
			t.Fatal(err)
		}
		_, err := Resolve(t.Context(), "w1", o)
		if !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), "others may write to it (mode 0620)") {
			t.Errorf("Resolve error is %v; want that others may write to %s", err, file)
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target, err := Resolve(t.Context(), "w1", o)
	if err != nil || target.User != "bob" {
		t.Errorf("Resolve gave %v, %v; want the user bob", target, err)
	}
}

func TestResolveMissing(t *testing.T) {
	o := Options{Home: t.TempDir()}
	if _, err := Resolve(t.Context(), "w1", o); err != nil {
		t.Errorf("Resolve error without any file: %v", err)
	}
	o.ConfigFile = filepath.Join(o.Home, "missing")
	if _, err := Resolve(t.Context(), "w1", o); !errors.Is(err, ErrConfiguration) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Resolve error is %v; want that the file is missing", err)
	}
}

// Where there is no ssh, a Match line is refused by its place.
func TestResolveMatchWithoutSSH(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	o := writeFiles(t, map[string]string{
		".ssh/config": "Host x\nInclude more\nHost *\nInclude more\n",
		".ssh/more":   "\n\nMatch host w1\nUser bob\n",
	})
	_, err := Resolve(t.Context(), "w1", o)
	var e *Error
	if want := ".ssh/more:3: \"Match host w1\""; !errors.As(err, &e) || !errors.Is(err, ErrConfiguration) ||
		!strings.Contains(e.Error(), want) {
		t.Fatalf("Resolve error is %v; want that the Match is at .ssh/more:3", err)
	}
	if !strings.Contains(e.Hint, "ssh -G") {
		t.Errorf("the hint is %q; want ssh -G in it", e.Hint)
	}
}

// fakeSSH puts a program called ssh in the way.
func fakeSSH(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestResolveMatch(t *testing.T) {
	o := writeFiles(t, map[string]string{".ssh/config": "Match host w1\n"})
	said := filepath.Join(o.Home, "said")
	fakeSSH(t, `printf '%s\n' "$@" > '`+said+`'
cat <<'E'
user bob
hostname w1.example
port 2200
identityfile ~/.ssh/id_rsa
identityfile ~/.ssh/id_ed25519
userknownhostsfile /a /b
stricthostkeychecking false
connecttimeout none
proxyjump
forwardagent no
E
`)
	target, err := Resolve(t.Context(), "bob@w1", o)
	if err != nil {
		t.Fatal(err)
	}
	got := findOut(target)
	if got.User != "bob" || got.HostName != "w1.example" || got.Port != "2200" || !got.AcceptNew || got.Keys != nil ||
		!slices.Equal(got.Known[:2], []string{"/a", "/b"}) {
		t.Errorf("Resolve gave %+v; want what ssh says", got)
	}
	args, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(args), "-G\n-F\n"+o.ConfigFile+"\n-l\nbob\n--\nw1\n"; got != want {
		t.Errorf("ssh was asked %q; want %q", got, want)
	}
}

func TestResolveMatchFails(t *testing.T) {
	o := writeFiles(t, map[string]string{".ssh/config": "\nMatch host w1\n"})
	fakeSSH(t, "echo it is bad >&2\nexit 255\n")
	_, err := Resolve(t.Context(), "w1", o)
	if want := "Match line at 2: it is bad"; !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), want) {
		t.Errorf("Resolve error is %v; want what ssh said", err)
	}
	fakeSSH(t, "exec sleep 1000\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	timer := time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	defer timer.Stop()
	if _, err := Resolve(ctx, "w1", o); !errors.Is(err, why) || errors.Is(err, ErrConfiguration) {
		t.Errorf("Resolve error is %v; want %v", err, why)
	}
}

// What the configuration asks for and testr does not do is said once.
func TestResolveWarns(t *testing.T) {
	o := writeFiles(t, map[string]string{".ssh/config": "ForwardAgent yes\nForwardAgent no\nForwardX11 yes\n" +
		"LocalForward 1 a:1\nLocalForward 2 a:2\nRemoteForward 1 a:1\nDynamicForward 3\nTunnel yes\n" +
		"StrictHostKeyChecking off\n"})
	var log bytes.Buffer
	o.Log = hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Warn})
	if _, err := Resolve(t.Context(), "w1", o); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"ForwardAgent", "ForwardX11", "LocalForward", "RemoteForward", "DynamicForward", "Tunnel", "StrictHostKeyChecking",
	} {
		if got := strings.Count(log.String(), name); got != 1 {
			t.Errorf("%s is warned of %d times; want once", name, got)
		}
	}
	log.Reset()
	quiet := writeFiles(t, map[string]string{".ssh/config": "ForwardAgent no\nStrictHostKeyChecking yes\n"})
	quiet.Log = o.Log
	if _, err := Resolve(t.Context(), "w1", quiet); err != nil || log.Len() > 0 {
		t.Errorf("Resolve error is %v and warned %q; want neither", err, log.String())
	}
}

func TestMatchPattern(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"?", "", false}, {"?", "a", true},
		{"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "abc", true}, {"a*c", "abd", false}, {"*a*b*", "xaxbx", true},
		{"a**?", "ab", true}, {"a**?", "a", false},
		{"192.168.0.?", "192.168.0.7", true}, {"192.168.0.?", "192.168.0.17", false},
		{"a.c", "abc", false}, {strings.Repeat("*a", 40) + "b", strings.Repeat("a", 2000), false},
	} {
		if got := matchPattern(test.pattern, test.s); got != test.want {
			t.Errorf("matchPattern(%q, %q) is %v; want %v", test.pattern, test.s, got, test.want)
		}
	}
}

// FuzzResolve: no configuration and no name makes Resolve panic or hang, and
// what it gives is nothing that a shell or ssh would take for something else.
func FuzzResolve(f *testing.F) {
	for _, seed := range []string{
		"Host w1\nHostName %h\n", "= x\n", "Host\n", "Match host x\n", "ProxyJump a,b@c:1,[::1]:2\n", "Include *\n",
		"ProxyCommand nc %h %p\n", "IdentityFile \"${HOME}/%u\n", "Port=1\nUser\t'a b'\n",
		"\x00\nHost \xff\n", "ConnectTimeout 1w2d\n",
	} {
		f.Add("w1", seed)
		f.Add("bob@"+seed, seed)
	}
	f.Setenv("PATH", f.TempDir()) // no ssh for Match lines
	o := writeFiles(f, map[string]string{".ssh/config": ""})
	f.Fuzz(func(t *testing.T, alias, config string) {
		if err := os.WriteFile(o.ConfigFile, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		target, err := Resolve(t.Context(), alias, o)
		if err != nil {
			if !errors.Is(err, ErrConfiguration) {
				t.Errorf("Resolve error is %v; want one of ErrConfiguration", err)
			}
			return
		}
		for ; target != nil; target = target.jump {
			for _, name := range []string{target.Alias, target.HostName, target.User} {
				if name == "" || name[0] == '-' || strings.ContainsAny(name, "'\"`$\\;&<>|(){} \t\n\r\x00\x1b") {
					t.Errorf("Resolve lets the name %q pass", name)
				}
			}
			if strings.Trim(target.Port, "0123456789") != "" {
				t.Errorf("Resolve lets the port %q pass", target.Port)
			}
		}
	})
}

// TestKeepaliveGiven: what the program says of the keepalive holds against what
// the configuration says.
func TestKeepaliveGiven(t *testing.T) {
	o := writeFiles(t, map[string]string{".ssh/config": "ServerAliveInterval 7\nServerAliveCountMax 8\n"})
	o.Keepalive = time.Second
	target, err := Resolve(t.Context(), "w1", o)
	if err != nil {
		t.Fatal(err)
	}
	if got := findOut(target); got.Keepalive != time.Second || got.Misses != 8 {
		t.Errorf("got %v, %d times; want 1s, which was given, and the configuration's 8", got.Keepalive, got.Misses)
	}
}
