package sshdial

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"testr/internal/instance"
)

// hostKeys are the keys that known_hosts files have of one host. They are read
// anew for each attempt to connect, so that a file may be put right meanwhile.
type hostKeys struct {
	t      *Target
	check  ssh.HostKeyCallback
	names  []string              // what the host may be known as, as host:port; the first one is its own name
	own    []knownhosts.KnownKey // that it has by its own name
	other  []knownhosts.KnownKey // and by the others
	signed bool                  // somebody is known who signs its keys

	revoked map[string]knownhosts.KnownKey // by RevokedHostKeys, whatever host has them
}

// readHostKeys reads the known_hosts files of t that there are.
func readHostKeys(t *Target) (*hostKeys, error) {
	k := &hostKeys{t: t}
	var files []string
	authorities := make(map[string]bool) // the lines that name who signs keys
	for _, file := range t.known {
		text, err := readRegular(file, nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, file)
		for i, line := range bytes.Split(text, []byte("\n")) {
			if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("@cert-authority")) {
				authorities[lineName(file, i+1)] = true
			}
		}
	}
	var err error
	if k.revoked, err = readRevoked(t.revoked); err != nil {
		return nil, err
	}
	if k.check, err = knownhosts.New(files...); err != nil {
		return nil, err
	}
	switch {
	case t.knownAs != "": // ports don't count then
		k.names = []string{net.JoinHostPort(t.knownAs, "22")}
	case t.Port != "22": // a host that is known by its name is known at its other ports
		k.names = []string{t.Address(), net.JoinHostPort(t.HostName, "22")}
	default:
		k.names = []string{t.Address()}
	}
	for i, name := range k.names {
		var unknown *knownhosts.KeyError
		if !errors.As(k.check(name, nowhere, noKey{}), &unknown) {
			continue
		}
		for _, known := range unknown.Want {
			switch {
			case authorities[lineName(known.Filename, known.Line)]:
				k.signed = true
			case i == 0:
				k.own = append(k.own, known)
			default:
				k.other = append(k.other, known)
			}
		}
	}
	return k, nil
}

// readRevoked reads a file of RevokedHostKeys, unless there is none: a public
// key a line. Where it can't be read no host is to be trusted, as with ssh.
func readRevoked(file string) (map[string]knownhosts.KnownKey, error) {
	if file == "" {
		return nil, nil
	}
	text, err := readRegular(file, nil)
	if err != nil {
		return nil, fmt.Errorf("RevokedHostKeys: %w", err)
	}
	all := make(map[string]knownhosts.KnownKey)
	for i, line := range bytes.Split(text, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			return nil, fmt.Errorf("RevokedHostKeys: %s:%d: is no public key (and testr reads no KRLs): %w", file, i+1, err)
		}
		all[string(key.Marshal())] = knownhosts.KnownKey{Key: key, Filename: file, Line: i + 1}
	}
	return all, nil
}

func lineName(file string, line int) string { return fmt.Sprintf("%s:%d", file, line) }

// nowhere is an address that no file has: hosts are known by names.
var nowhere net.Addr = &net.TCPAddr{}

// noKey is a key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("it is no key") }

// algorithms are all those that a host may show its key with, and first those
// of the keys that it is known by: a host that has several keys is to show one
// that can be checked. Certificates are asked for only where somebody is known
// to sign them.
func (k *hostKeys) algorithms() []string {
	types := make(map[string]bool)
	for _, known := range slices.Concat(k.own, k.other) {
		types[known.Key.Type()] = true
	}
	var certificates, first, rest []string
	for _, algorithm := range ssh.SupportedAlgorithms().HostKeys {
		switch {
		case strings.Contains(algorithm, "-cert-"):
			if k.signed {
				certificates = append(certificates, algorithm)
			}
		case types[keyType(algorithm)]:
			first = append(first, algorithm)
		default:
			rest = append(rest, algorithm)
		}
	}
	return slices.Concat(certificates, first, rest)
}

// keyType is the type of the keys that an algorithm is for.
func keyType(algorithm string) string {
	switch algorithm {
	case ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512:
		return ssh.KeyAlgoRSA
	}
	return algorithm
}

// verify accepts a key that the host is known by, and a new one where that is
// allowed. Its error is a *HostKeyError, or why the key could not be written
// down.
func (k *hostKeys) verify(key ssh.PublicKey) error {
	plain, reason := key, ""
	if certificate, ok := key.(*ssh.Certificate); ok {
		if err := k.isRevoked(certificate.SignatureKey); err != nil {
			return err
		}
		if err := k.isRevoked(certificate.Key); err != nil {
			return err
		}
		for _, name := range k.names {
			err := k.check(name, nowhere, certificate)
			if err == nil {
				return nil
			}
			if said := strings.TrimPrefix(err.Error(), "ssh: "); !strings.HasPrefix(said, "no authorities") || reason == "" {
				reason = said
			}
		}
		plain = certificate.Key // may be known by itself, as ssh has it
	}
	refusal := &HostKeyError{Type: plain.Type(), Fingerprint: ssh.FingerprintSHA256(plain), Reason: reason}
	if err := k.isRevoked(plain); err != nil {
		return err
	}
	for _, known := range slices.Concat(k.own, k.other) {
		if bytes.Equal(known.Key.Marshal(), plain.Marshal()) {
			return nil
		}
	}
	refusal.Known = describe(k.own)
	if len(k.own) == 0 && reason == "" && k.t.acceptNew {
		return k.accept(plain)
	}
	return refusal
}

// isRevoked is a *HostKeyError if a key is one that no host may have.
func (k *hostKeys) isRevoked(key ssh.PublicKey) error {
	line, found := k.revoked[string(key.Marshal())]
	if revoked, ok := errors.AsType[*knownhosts.RevokedError](k.check(k.names[0], nowhere, key)); ok {
		line, found = revoked.Revoked, true
	}
	if !found {
		return nil
	}
	return &HostKeyError{
		Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), Revoked: true,
		Known: describe([]knownhosts.KnownKey{line}),
	}
}

// describe describes known keys for messages.
func describe(keys []knownhosts.KnownKey) []KnownKey {
	all := make([]KnownKey, len(keys))
	for i, k := range keys {
		all[i] = KnownKey{
			File: k.Filename, Line: k.Line,
			Type: k.Key.Type(), Fingerprint: ssh.FingerprintSHA256(k.Key),
		}
	}
	return all
}

// accept writes the key of an unknown host down. Somebody else may have done so
// meanwhile: it was not necessarily the same key.
func (k *hostKeys) accept(key ssh.PublicKey) error {
	if k.t.addTo == "" || k.t.addTo == os.DevNull {
		return k.remember(key)
	}
	adding := &k.t.o.Shared.adding
	adding.Lock()
	defer adding.Unlock()
	again, err := readHostKeys(k.t)
	if err != nil {
		return err
	}
	if len(again.own) > 0 {
		strict := *k.t
		strict.acceptNew = false
		again.t = &strict
		return again.verify(key)
	}
	name := knownhosts.Normalize(k.names[0])
	if k.t.hash {
		name = knownhosts.HashHostname(name)
	}
	line := fmt.Sprintf("%s %s %s\n", name, key.Type(), base64.StdEncoding.EncodeToString(key.Marshal()))
	if err := appendLine(k.t.addTo, line); err != nil {
		return fmt.Errorf("write the host's new key down: %w", err)
	}
	k.t.o.Log.Info("added a host key", "host", k.t.Alias, "file", k.t.addTo, "type", key.Type(),
		"fingerprint", ssh.FingerprintSHA256(key))
	return nil
}

// remember accepts a key that is written down nowhere. The host has to keep it
// for as long as this process lives.
func (k *hostKeys) remember(key ssh.PublicKey) error {
	shared := k.t.o.Shared
	shared.mu.Lock()
	defer shared.mu.Unlock()
	before := shared.accepted[k.names[0]]
	if before == nil {
		if shared.accepted == nil {
			shared.accepted = make(map[string]ssh.PublicKey)
		}
		shared.accepted[k.names[0]] = key
		return nil
	}
	if bytes.Equal(before.Marshal(), key.Marshal()) {
		return nil
	}
	return &HostKeyError{Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), Known: describe(
		[]knownhosts.KnownKey{{Key: before}})}
}

// appendLine adds a line to a file, and makes the file and its directory if
// they are not there.
func appendLine(file, line string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if size := info.Size(); size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := f.WriteString(line); err != nil {
		return err
	}
	return f.Sync()
}

// refused is what Dial says of a key that was refused.
func (k *hostKeys) refused(err error) *Error {
	const doing = "check the host key"
	t := k.t
	var refusal *HostKeyError
	if !errors.As(err, &refusal) {
		return t.fail(doing, ErrConfiguration, err, "")
	}
	name := knownhosts.Normalize(k.names[0])
	switch {
	case refusal.Revoked:
		return t.fail(doing, ErrHostKeyChanged, refusal,
			"somebody may be posing as the host: ask whoever runs it for its new key")
	case len(refusal.Known) > 0 && refusal.Known[0].File == "":
		return t.fail(doing, ErrHostKeyChanged, refusal, "somebody may be posing as the host: "+
			"let a UserKnownHostsFile keep the keys of hosts")
	case len(refusal.Known) > 0:
		return t.fail(doing, ErrHostKeyChanged, refusal, fmt.Sprintf("somebody may be posing as the host; "+
			"if it was set up anew, forget its old key with `ssh-keygen -R %s -f %s`",
			instance.Quote(name), instance.Quote(refusal.Known[0].File)))
	case refusal.Reason != "":
		return t.fail(doing, ErrHostKeyUnknown, refusal, "ask whoever signs the host's keys for a new certificate")
	}
	return t.fail(doing, ErrHostKeyUnknown, refusal,
		fmt.Sprintf("compare the fingerprint with the host's own and accept it with `%s`", t.sshCommand()))
}

// sshCommand is how a person gets to t with ssh.
func (t *Target) sshCommand() string {
	command := "ssh "
	if t.o.ConfigFile != "" {
		command += "-F " + instance.Quote(t.o.ConfigFile) + " "
	}
	if t.givenPort != "" {
		command += "-p " + t.givenPort + " "
	}
	if t.givenUser != "" {
		return command + instance.Quote(t.givenUser+"@"+t.Alias)
	}
	return command + instance.Quote(t.Alias)
}
