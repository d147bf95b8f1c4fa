package sshdial_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"testr/internal/instance/sshdial"
	"testr/internal/lab"
)

// keyHost is a host whose key is checked.
type keyHost struct {
	server *bareServer
	home   string
	known  string // its user's known_hosts
	o      sshdial.Options
}

// newKeyHost makes a host that shows keys, and a user who knows it by what
// lines say; %s in them is its address.
func newKeyHost(t *testing.T, config, lines string, keys ...ssh.Signer) *keyHost {
	t.Helper()
	h := &keyHost{home: t.TempDir()}
	user, err := lab.WriteKey(filepath.Join(h.home, ".ssh", "id_ed25519"), "")
	if err != nil {
		t.Fatal(err)
	}
	h.server = startServer(t, user, keys...)
	h.known = filepath.Join(h.home, ".ssh", "known_hosts")
	file := write(t, filepath.Join(h.home, ".ssh", "config"), config+"\nHost w1\n HostName 127.0.0.1\n User lab\n Port "+
		portOf(t, h.server.Addr().String())+"\n UserKnownHostsFile "+h.known+"\n GlobalKnownHostsFile none\n")
	t.Setenv("SSH_AUTH_SOCK", "")
	h.know(t, lines)
	h.o = sshdial.Options{Home: h.home, ConfigFile: file, Log: testLog(t)}
	return h
}

// know replaces what the user knows; %s stands for the host's address.
func (h *keyHost) know(t *testing.T, lines string) {
	t.Helper()
	if lines != "" {
		write(t, h.known, strings.ReplaceAll(lines, "%s", h.address()))
	}
}

// address is what known_hosts calls the host.
func (h *keyHost) address() string { return knownhosts.Normalize(h.server.Addr().String()) }

func (h *keyHost) dial(t *testing.T) error {
	t.Helper()
	conn, err := resolve(t, "w1", h.o).Dial(testContext(t))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// text is a key as files have it.
func text(key ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) }

func certificate(t *testing.T, host, authority ssh.Signer, principal string, ends time.Time) ssh.Signer {
	t.Helper()
	c := &ssh.Certificate{
		Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{principal},
		ValidBefore: uint64(ends.Unix()),
	}
	if err := c.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(c, host)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// Defence S14: a host is who it is known to be, or nobody logs in to it.
func TestHostKeys(t *testing.T) {
	ed, other, ec, rs := newKey(t, "ed25519"), newKey(t, "ed25519"), newKey(t, "ecdsa"), newKey(t, "rsa")
	authority := newKey(t, "ed25519")
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	signed := certificate(t, ed, authority, "127.0.0.1", later)
	edText, otherText, ecText := text(ed.PublicKey()), text(other.PublicKey()), text(ec.PublicKey())
	caText := "@cert-authority %s " + text(authority.PublicKey())
	for _, test := range []struct {
		name, config, known string
		shows               []ssh.Signer
		want                error
		says                []string
		hint                string
		revoked             string
	}{
		{name: "known", known: "%s " + edText, shows: []ssh.Signer{ed}},
		{name: "known by rsa", known: "%s " + text(rs.PublicKey()), shows: []ssh.Signer{rs}},
		{name: "one of several", known: "%s " + otherText + "\n%s " + edText, shows: []ssh.Signer{ed}},
		{name: "known by its address without the port", known: "127.0.0.1 " + edText, shows: []ssh.Signer{ed}},
		{name: "no file", shows: []ssh.Signer{ed}, want: sshdial.ErrHostKeyUnknown,
			says: []string{"ssh-ed25519", ssh.FingerprintSHA256(ed.PublicKey()), "is not known"},
			hint: "accept it with `ssh -F "},
		{name: "another host", known: "[127.0.0.2]:22 " + edText, shows: []ssh.Signer{ed}, want: sshdial.ErrHostKeyUnknown},
		{name: "other port", known: "[127.0.0.1]:1 " + edText, shows: []ssh.Signer{ed}, want: sshdial.ErrHostKeyUnknown},
		{name: "other key without the port", known: "127.0.0.1 " + otherText, shows: []ssh.Signer{ed},
			want: sshdial.ErrHostKeyUnknown},
		{name: "changed", known: "# mine\n%s " + otherText, shows: []ssh.Signer{ed}, want: sshdial.ErrHostKeyChanged,
			says: []string{"has changed", "known_hosts:2 has ssh-ed25519 " + ssh.FingerprintSHA256(other.PublicKey())},
			hint: "`ssh-keygen -R '[127.0.0.1]:"},
		{name: "changed in spite of no", config: "StrictHostKeyChecking no", known: "%s " + otherText,
			shows: []ssh.Signer{ed}, want: sshdial.ErrHostKeyChanged},
		{name: "changed in spite of accept-new", config: "StrictHostKeyChecking accept-new", known: "%s " + otherText,
			shows: []ssh.Signer{ed}, want: sshdial.ErrHostKeyChanged},
		{name: "has the known key among others", known: "%s " + ecText, shows: []ssh.Signer{ed, ec, rs}},
		{name: "only a key of another type", known: "%s " + ecText, shows: []ssh.Signer{ed},
			want: sshdial.ErrHostKeyChanged},
		{name: "only a key of another type with accept-new", config: "StrictHostKeyChecking accept-new",
			known: "%s " + ecText, shows: []ssh.Signer{ed}, want: sshdial.ErrHostKeyChanged},
		{name: "revoked", known: "%s " + edText + "\n@revoked * " + edText, shows: []ssh.Signer{ed},
			want: sshdial.ErrHostKeyChanged, says: []string{"is revoked", "known_hosts:2"}},
		{name: "revoked and accept-new", config: "StrictHostKeyChecking accept-new", known: "@revoked * " + edText,
			shows: []ssh.Signer{ed}, want: sshdial.ErrHostKeyChanged},
		{name: "signed", known: caText, shows: []ssh.Signer{signed}},
		{name: "signed, known without the port", known: "@cert-authority 127.* " + text(authority.PublicKey()),
			shows: []ssh.Signer{signed}},
		{name: "signed by somebody else", known: "@cert-authority %s " + otherText, shows: []ssh.Signer{signed},
			want: sshdial.ErrHostKeyUnknown, says: []string{"certificate"}, hint: "whoever signs"},
		{name: "signed for another host", known: caText, want: sshdial.ErrHostKeyUnknown,
			shows: []ssh.Signer{certificate(t, ed, authority, "127.0.0.2", later)}, says: []string{"principal"}},
		{name: "signed for too short", known: caText, want: sshdial.ErrHostKeyUnknown,
			shows: []ssh.Signer{certificate(t, ed, authority, "127.0.0.1", earlier)}, says: []string{"expired"}},
		{name: "signed for too short and accept-new", config: "StrictHostKeyChecking accept-new", known: caText,
			shows: []ssh.Signer{certificate(t, ed, authority, "127.0.0.1", earlier)}, want: sshdial.ErrHostKeyUnknown},
		{name: "signed for too short, but known", known: caText + "\n%s " + edText,
			shows: []ssh.Signer{certificate(t, ed, authority, "127.0.0.1", earlier)}},
		{name: "signed with a revoked key", known: caText + "\n@revoked * " + edText, shows: []ssh.Signer{signed},
			want: sshdial.ErrHostKeyChanged},
		{name: "signed by who was revoked", known: caText + "\n@revoked * " + text(authority.PublicKey()),
			shows: []ssh.Signer{signed}, want: sshdial.ErrHostKeyChanged, says: []string{"is revoked"}},
		{name: "in RevokedHostKeys", config: "RevokedHostKeys ~/.ssh/revoked", known: "%s " + edText, shows: []ssh.Signer{ed},
			revoked: "# gone\n" + edText, want: sshdial.ErrHostKeyChanged, says: []string{"is revoked", "revoked:2"}},
		{name: "other keys in RevokedHostKeys", config: "RevokedHostKeys ~/.ssh/revoked", known: "%s " + edText,
			shows: []ssh.Signer{ed}, revoked: otherText},
		{name: "RevokedHostKeys that is missing", config: "RevokedHostKeys ~/.ssh/revoked", known: "%s " + edText,
			shows: []ssh.Signer{ed}, want: sshdial.ErrConfiguration, says: []string{"RevokedHostKeys"}},
		{name: "RevokedHostKeys that is a KRL", config: "RevokedHostKeys ~/.ssh/revoked", known: "%s " + edText,
			shows: []ssh.Signer{ed}, revoked: "SSHKRL\n\x00", want: sshdial.ErrConfiguration, says: []string{"KRL"}},
		{name: "the authority's own key", known: caText, shows: []ssh.Signer{authority}, want: sshdial.ErrHostKeyUnknown},
		{name: "known by an alias", config: "HostKeyAlias fleet", known: "fleet " + edText, shows: []ssh.Signer{ed}},
		{name: "known by its address but not by an alias", config: "HostKeyAlias fleet", known: "%s " + edText,
			shows: []ssh.Signer{ed}, want: sshdial.ErrHostKeyUnknown},
		{name: "a file without a key", known: "nothing of use", shows: []ssh.Signer{ed}, want: sshdial.ErrConfiguration},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newKeyHost(t, test.config, test.known, test.shows...)
			if test.revoked != "" {
				write(t, filepath.Join(h.home, ".ssh", "revoked"), test.revoked+"\n")
			}
			before, _ := os.ReadFile(h.known)
			err := h.dial(t)
			if !errors.Is(err, test.want) {
				t.Fatalf("Dial error is %v; want %v", err, test.want)
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("Dial error is %q; want %q in it", err, says)
				}
			}
			if got := hintOf(err); !strings.Contains(got, test.hint) {
				t.Errorf("the hint is %q; want %q in it", got, test.hint)
			}
			var refusal *sshdial.HostKeyError
			wanted := errors.Is(test.want, sshdial.ErrHostKeyChanged) || errors.Is(test.want, sshdial.ErrHostKeyUnknown)
			if got := errors.As(err, &refusal); got != wanted {
				t.Errorf("Dial error has a *HostKeyError: %v; want %v", got, wanted)
			}
			if after, _ := os.ReadFile(h.known); string(after) != string(before) {
				t.Errorf("known_hosts has become %q; it was %q", after, before)
			}
			if seen := h.server.seen(); err != nil && len(seen) > 0 {
				t.Errorf("keys were offered to a host that was refused: %q", seen)
			}
		})
	}
}

// Names in known_hosts may be hashed.
func TestHostKeyHashed(t *testing.T) {
	key, other := newKey(t, "ed25519"), newKey(t, "ed25519")
	h := newKeyHost(t, "", "", key)
	h.know(t, knownhosts.HashHostname(h.address())+" "+text(key.PublicKey()))
	if err := h.dial(t); err != nil {
		t.Errorf("Dial error: %v", err)
	}
	h.know(t, knownhosts.HashHostname(h.address())+" "+text(other.PublicKey()))
	if err := h.dial(t); !errors.Is(err, sshdial.ErrHostKeyChanged) {
		t.Errorf("Dial error is %v; want %v", err, sshdial.ErrHostKeyChanged)
	}
}

// The key of a new host is written down with accept-new, and then holds.
func TestHostKeyAcceptNew(t *testing.T) {
	for _, test := range []struct{ name, config, before, wantLine string }{
		{"first file", "StrictHostKeyChecking accept-new", "", "%s KEY\n"},
		{"file without a last newline", "StrictHostKeyChecking accept-new", "# mine", "# mine\n%s KEY\n"},
		{"off", "StrictHostKeyChecking off", "", "%s KEY\n"},
		{"alias", "StrictHostKeyChecking no\nHostKeyAlias Fleet", "", "fleet KEY\n"},
		{"hashed", "StrictHostKeyChecking accept-new\nHashKnownHosts yes", "", "|1|"},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, other := newKey(t, "ed25519"), newKey(t, "ed25519")
			h := newKeyHost(t, test.config, test.before, key)
			for range 2 { // the second time it is known
				if err := h.dial(t); err != nil {
					t.Fatalf("Dial error: %v", err)
				}
			}
			written, err := os.ReadFile(h.known)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.NewReplacer("%s", h.address(), "KEY", text(key.PublicKey())).Replace(test.wantLine)
			hashed := want == "|1|" && strings.HasPrefix(string(written), want) && strings.Count(string(written), "\n") == 1
			if got := string(written); got != want && !hashed {
				t.Errorf("known_hosts is %q; want %q", got, want)
			}
			if info, err := os.Stat(h.known); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("known_hosts is %v, %v; want mode 0600", info.Mode(), err)
			}
			h.server.show(other)
			if err := h.dial(t); !errors.Is(err, sshdial.ErrHostKeyChanged) {
				t.Errorf("Dial error for another key is %v; want %v", err, sshdial.ErrHostKeyChanged)
			}
		})
	}
}

// A host whose key no file keeps has to keep it for as long as testr runs.
func TestHostKeyAcceptNewWithoutAFile(t *testing.T) {
	for _, file := range []string{"none", "/dev/null"} {
		t.Run(file, func(t *testing.T) {
			key, other := newKey(t, "ed25519"), newKey(t, "ed25519")
			h := newKeyHost(t, "StrictHostKeyChecking no\nUserKnownHostsFile "+file, "", key)
			h.o.Shared = new(sshdial.Shared)
			for range 2 {
				if err := h.dial(t); err != nil {
					t.Fatalf("Dial error: %v", err)
				}
			}
			h.server.show(other)
			err := h.dial(t)
			if !errors.Is(err, sshdial.ErrHostKeyChanged) || !strings.Contains(err.Error(), "before") {
				t.Errorf("Dial error is %v; want %v", err, sshdial.ErrHostKeyChanged)
			}
			if _, err := os.Stat(h.known); !os.IsNotExist(err) {
				t.Errorf("known_hosts is there: %v; want none", err)
			}
		})
	}
}

// Several connections to a new host at once write its key down once.
func TestHostKeyAcceptNewAtOnce(t *testing.T) {
	h := newKeyHost(t, "StrictHostKeyChecking accept-new", "", newKey(t, "ed25519"))
	target := resolve(t, "w1", h.o)
	ctx := testContext(t)
	const dials = 8
	errs := make(chan error, dials)
	for range dials {
		go func() {
			conn, err := target.Dial(ctx)
			if err == nil {
				_ = conn.Close()
			}
			errs <- err
		}()
	}
	for range dials {
		if err := <-errs; err != nil {
			t.Errorf("Dial error: %v", err)
		}
	}
	written, err := os.ReadFile(h.known)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(written), "\n"); got != 1 {
		t.Errorf("known_hosts has %d lines; want 1", got)
	}
}

// A host that shows another key in the middle of a run is found out by the next
// connection, and the one that stands stays.
func TestHostKeyChangesLater(t *testing.T) {
	key, other := newKey(t, "ed25519"), newKey(t, "ed25519")
	h := newKeyHost(t, "", "%s "+text(key.PublicKey()), key)
	target := resolve(t, "w1", h.o)
	conn, err := target.Dial(testContext(t))
	if err != nil {
		t.Fatalf("Dial error: %v", err)
	}
	defer func() { _ = conn.Close() }()
	h.server.show(other)
	var before = len(h.server.seen())
	if _, err := target.Dial(testContext(t)); !errors.Is(err, sshdial.ErrHostKeyChanged) {
		t.Errorf("Dial error is %v; want %v", err, sshdial.ErrHostKeyChanged)
	}
	if got := h.server.seen(); len(got) != before {
		t.Errorf("keys were offered to who poses as the host: %q", got[before:])
	}
	h.server.show(key)
	again, err := target.Dial(testContext(t))
	if err != nil {
		t.Fatalf("Dial error when the host is back: %v", err)
	}
	_ = again.Close()
	if err := conn.Err(); err != nil {
		t.Errorf("the first connection is gone: %v", err)
	}
}

// Nothing in this package accepts just any host key, its tests included.
func TestNoBlindTrust(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %q, %v; want the package's files", files, err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, blind := range []string{"Insecure" + "IgnoreHostKey", "ssh.Password" + "(", "ssh.Keyboard" + "Interactive("} {
			if strings.Contains(string(source), blind) {
				t.Errorf("%s has %s", name, blind)
			}
		}
	}
}

func ExampleHostKeyError() {
	known := sshdial.KnownKey{File: "/known_hosts", Line: 3, Type: "ssh-ed25519", Fingerprint: "SHA256:old"}
	err := &sshdial.HostKeyError{Type: "ssh-rsa", Fingerprint: "SHA256:new", Known: []sshdial.KnownKey{known}}
	fmt.Println(strings.ReplaceAll(err.Error(), "; ", "\n"))
	// Output:
	// the host's key has changed: it has shown the ssh-rsa key SHA256:new
	// /known_hosts:3 has ssh-ed25519 SHA256:old
}
