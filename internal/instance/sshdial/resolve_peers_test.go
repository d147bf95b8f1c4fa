//go:build peers

package sshdial

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// askOpenSSH is what Resolve would have found, had it asked ssh.
func askOpenSSH(t *testing.T, alias string, o Options) (found, error) {
	t.Helper()
	r := &resolver{o: o}
	if err := r.complete(); err != nil {
		t.Fatal(err)
	}
	h := hop{host: alias}
	if name, host, found := strings.Cut(alias, "@"); found {
		h.user, h.host = name, host
	}
	s, err := r.askSSH(t.Context(), h, &matchError{})
	if err != nil {
		return found{}, err
	}
	target := &Target{Alias: h.host, o: r.o}
	if err := r.fill(target, s, h); err != nil {
		return found{}, err
	}
	f := findOut(target)
	if jump := s.get("proxyjump", "none"); jump != "none" {
		f.Jump = []string{jump}
	}
	return f, nil
}

// compareTo is how Resolve differs from what ssh says. Of jump hosts ssh says no
// more than that there are some.
func compareTo(t *testing.T, alias string, o Options) string {
	t.Helper()
	want, wantErr := askOpenSSH(t, alias, o)
	target, err := Resolve(t.Context(), alias, o)
	if err != nil || wantErr != nil {
		if (err == nil) != (wantErr == nil) {
			return fmt.Sprintf("Resolve error is %v; ssh says %v", err, wantErr)
		}
		return ""
	}
	got := findOut(target)
	if (len(got.Jump) > 0) != (len(want.Jump) > 0) {
		return fmt.Sprintf("the jump hosts are %q; ssh says %q", got.Jump, want.Jump)
	}
	got.Jump, want.Jump = nil, nil
	if got.Keys == nil { // ssh's own default, which has keys of types that nobody has any more
		want.Keys = nil
	}
	return cmp.Diff(want, got)
}

// The configuration means what ssh takes it to mean.
func TestPeersResolve(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	for _, config := range []string{
		"",
		"Host a b\n User x\nHost *\n Port 7\n",
		"Host a\tb\nUser x\n",
		"Host \"a\" 'b'\nUser x\n",
		"Host A\nUser upper\nHost a\nUser lower\n",
		"Host ?\nUser one\nHost ??\nUser two\nHost ???\nUser three\n",
		"Host *.example !bad.example\nUser x\nHost !a *\nPort 3\n",
		"Host=a\nPort = 4\nUser =x\nHostName= %h.example\n",
		"HostName A.Example\nHostKeyAlias Fleet\n",
		"User x # comment\nPort 5 #6\nIdentityFile ~/k#1\nIdentityFile \"/with blank\"\nIdentityFile /esc\\ aped\n",
		"ProxyCommand nc %h %p # not a comment\n",
		"ProxyCommand \"quoted command\" %h\n",
		"ProxyCommand none\nProxyJump j\n",
		"ProxyJump none\nProxyCommand nc %h\n",
		"Host j\nProxyJump none\nHost *\nProxyJump j\nProxyCommand nc %h\n",
		"ProxyCommand nc %h\nProxyJump j\n",
		"Host j\nProxyJump none\nHost *\nProxyJump u@j:2,[::1]:3,k\n",
		"UserKnownHostsFile /a ~/b \"/c\"\n",
		"UserKnownHostsFile /a\nUserKnownHostsFile /b\nGlobalKnownHostsFile /g /h\n",
		"StrictHostKeyChecking no\n", "StrictHostKeyChecking yes\n",
		"StrictHostKeyChecking accept-new\n", "StrictHostKeyChecking off\n",
		"StrictHostKeyChecking ask\nHashKnownHosts yes\nIdentitiesOnly yes\n",
		"ConnectTimeout 5\n", "ConnectTimeout 1m30\n", "ConnectTimeout 2h\n", "ConnectTimeout none\n",
		"IdentityAgent none\n", "IdentityAgent /x/y\n", "IdentityAgent SSH_AUTH_SOCK\n",
		"AddressFamily inet6\nBindAddress ::1\n",
		"CertificateFile /a\nCertificateFile /b\n",
		"Include /nowhere/*\nPort 5\n",
		"Host a\nInclude DIR/more\nPort 9\nHost *\nUser last\n",
		"Host a.example\nInclude DIR/more\nHost *\nUser last\n",
		"Match all\nUser x\n",
		"Host b\nUser y\nMatch all\nUser x\n",
		"User \"unbalanced\n", "User\n", "Port x\n", "Port 0\n", "StrictHostKeyChecking maybe\n",
		"HostName %q\n", "ConnectTimeout x\n",
	} {
		t.Run(fmt.Sprintf("%.60q", config), func(t *testing.T) {
			compareAll(t, config)
		})
	}
}

var comparedAliases = []string{"a", "b", "A", "ab", "a.example", "bad.example", "x.bad.example", "bob@a", "::1"}

func compareAll(t *testing.T, config string) {
	t.Helper()
	home, err := os.UserHomeDir() // of which ssh can't be told another
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const more = "Host ab\nUser wrong\nHost a*\nUser inner\nIdentityFile /inner\n"
	for name, text := range map[string]string{"config": config, "more": more} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, alias := range comparedAliases {
		if diff := compareTo(t, alias, Options{Home: home, ConfigFile: filepath.Join(dir, "config")}); diff != "" {
			t.Errorf("%s with %q (-ssh +Resolve):\n%s", alias, config, diff)
		}
	}
}

// So do configurations that are put together at random.
func TestPeersResolveRandom(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	lines := []string{
		"Host a", "Host a b", "Host *", "Host !a *", "Host ?", "Host *.example", "Host b !b", "Host a*e", "Match all",
		"# c", "",
		"User x", "User y", "Port 5", "Port 6", "HostName %h.example", "HostName other",
		"IdentityFile /a", "IdentityFile /b", "IdentitiesOnly yes", "IdentitiesOnly no",
		"ProxyCommand nc %h", "ProxyJump none", "ProxyCommand none", "Include DIR/more", "ConnectTimeout 3",
		"UserKnownHostsFile /x /y", "HashKnownHosts yes", "HashKnownHosts no", "HostKeyAlias k",
	}
	for seed := range uint64(25) {
		random := rand.New(rand.NewPCG(seed, 0))
		var config strings.Builder
		for range 3 + random.IntN(15) {
			config.WriteString([]string{"", " ", "\t", "  "}[random.IntN(4)])
			config.WriteString(lines[random.IntN(len(lines))])
			config.WriteString([]string{"\n", " \n", "\r\n", "\n\n"}[random.IntN(4)])
		}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { compareAll(t, config.String()) })
	}
}
