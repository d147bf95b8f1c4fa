package sshdial

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"testr/internal/instance"
)

// login offers a host the user's keys, one after the other, in the order that
// ssh has: those of the agent that the configuration names, the agent's others,
// key files. It belongs to the goroutine of one handshake.
type login struct {
	t     *Target
	ready bool // queue was filled
	queue []candidate

	agent   net.Conn // nil if there is none
	offered []string // which keys were offered
	failed  []string // what did not work on the way, for people
	hints   []string // what would help
	wanted  []string // what the host wants to see, when it wants no keys
}

// candidate is a key that can be offered.
type candidate struct {
	name   string // for people
	signer ssh.Signer
}

// errNoKeys says that there is no key left to offer. The login says more.
var errNoKeys = errors.New("none of the keys was accepted")

// method is what x/crypto/ssh asks for the next attempt: a single key, so that
// one that can't sign does not end it all.
func (l *login) method(ctx context.Context, c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	if !slices.Contains(c.AllowedMethods, "publickey") {
		l.wanted = c.AllowedMethods
		return nil, errNoKeys
	}
	if !l.ready {
		l.ready = true
		l.fill(ctx)
	}
	if len(l.queue) == 0 {
		return nil, errNoKeys
	}
	next := l.queue[0]
	l.queue = l.queue[1:]
	l.offered = append(l.offered, next.name)
	return ssh.PublicKeys(&reporter{Signer: next.signer, name: next.name, login: l}), nil
}

// close lets go of the agent.
func (l *login) close() {
	if l.agent != nil {
		_ = l.agent.Close()
	}
}

// fill finds the keys.
func (l *login) fill(ctx context.Context) {
	held := l.fromAgent(ctx)
	var files []candidate
	for _, file := range l.t.keys {
		l.consider(file, &held, &files)
	}
	if !l.t.onlyKeys {
		l.queue = append(l.queue, held...)
	}
	l.queue = append(l.queue, files...)
}

// consider queues the key of a file, if the agent has it, or appends it to
// files.
func (l *login) consider(file string, held, files *[]candidate) {
	public, signer, err := l.t.readKey(file)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) || !l.t.implied {
			l.failed = append(l.failed, err.Error())
		}
		var open *openKeyError
		switch {
		case errors.As(err, &open):
			l.hints = append(l.hints, fmt.Sprintf("`chmod 600 %s`", instance.Quote(file)))
		case errors.Is(err, errHidden):
			l.hints = append(l.hints, fmt.Sprintf("`ssh-add %s`", instance.Quote(file)))
		}
		if public == nil {
			return
		}
	}
	certificates := l.t.certificatesOf(file, public)
	match := func(c candidate) bool {
		key := c.signer.PublicKey()
		if certificate, ok := key.(*ssh.Certificate); ok {
			key = certificate.Key
		}
		return bytes.Equal(key.Marshal(), public.Marshal())
	}
	if slices.ContainsFunc(*held, match) {
		for _, k := range *held {
			if match(k) {
				l.queue = append(append(l.queue, certified(k, certificates)...), k)
			}
		}
		*held = slices.DeleteFunc(*held, match)
		return
	}
	switch {
	case signer != nil:
	case err != nil:
		return
	case l.t.o.Passphrase == nil:
		l.failed = append(l.failed, file+" has a passphrase, and there is no terminal to ask for it on")
		l.hints = append(l.hints, fmt.Sprintf("`ssh-add %s`", instance.Quote(file)))
		return
	default:
		signer = &lockedKey{t: l.t, file: file, public: public}
	}
	k := candidate{name: file, signer: signer}
	*files = append(append(*files, certified(k, certificates)...), k)
}

// certified are the candidates that a key makes with its certificates.
func certified(k candidate, certificates []*ssh.Certificate) []candidate {
	var all []candidate
	for _, certificate := range certificates {
		if signer, err := ssh.NewCertSigner(certificate, k.signer); err == nil {
			all = append(all, candidate{name: k.name + " with a certificate", signer: signer})
		}
	}
	return all
}

// fromAgent asks the agent for its keys.
func (l *login) fromAgent(ctx context.Context) []candidate {
	if l.t.agent == "" {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", l.t.agent)
	if err != nil {
		l.failed = append(l.failed, fmt.Sprintf("the agent can't be reached: %v", err))
		return nil
	}
	l.agent = conn
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	client := agent.NewClient(conn)
	signers, err := client.Signers()
	if err != nil {
		l.failed = append(l.failed, fmt.Sprintf("the agent at %s has not said which keys it has: %v", l.t.agent, err))
		return nil
	}
	if len(signers) == 0 {
		l.failed = append(l.failed, "the agent has no keys")
	}
	all := make([]candidate, len(signers))
	for i, signer := range signers {
		key := signer.PublicKey()
		all[i] = candidate{fmt.Sprintf("the agent's %s %s", key.Type(), ssh.FingerprintSHA256(key)), signer}
	}
	return all
}

// openKeyError says that a private key is not private.
type openKeyError struct {
	file string
	mode fs.FileMode
}

func (e *openKeyError) Error() string {
	return fmt.Sprintf("%s may be read by others (mode %04o), and is not used", e.file, e.mode)
}

// readKey reads a key file. A signer of nil with a public key and no error means
// that the file has a passphrase. Where there is an error the public key may
// still be known, from the .pub file: the agent may have the private one.
func (t *Target) readKey(file string) (ssh.PublicKey, ssh.Signer, error) {
	text, err := readRegular(file, func(info fs.FileInfo) error {
		stat, ok := info.Sys().(*syscall.Stat_t)
		if ok && int(stat.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0 {
			return &openKeyError{file: file, mode: info.Mode().Perm()}
		}
		return nil
	})
	defer clear(text)
	var signer ssh.Signer
	if err == nil {
		signer, err = ssh.ParsePrivateKey(text)
	}
	if err == nil {
		return signer.PublicKey(), signer, nil
	}
	if locked, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
		err = nil
		if locked.PublicKey != nil {
			return locked.PublicKey, nil, nil
		}
	}
	for _, name := range []string{file + ".pub", file} {
		text, pubErr := readRegular(name, nil)
		if pubErr != nil {
			continue
		}
		if public, _, _, _, pubErr := ssh.ParseAuthorizedKey(text); pubErr == nil {
			if name == file { // IdentityFile names a public key: its other half is in the agent
				return public, nil, fmt.Errorf("%s is a public key, and the agent does not have the private one", file)
			}
			return public, nil, describeKey(file, err)
		}
	}
	if err == nil {
		err = errHidden
	}
	return nil, nil, describeKey(file, err)
}

// errHidden says that only the passphrase would tell which key is in a file.
var errHidden = errors.New("it has a passphrase, and no .pub file beside it says which key it is")

// describeKey says what is wrong with a key file, and nothing of what is in it.
func describeKey(file string, err error) error {
	var open *openKeyError
	var path *fs.PathError
	if err == nil || errors.As(err, &open) || errors.As(err, &path) {
		return err
	}
	return fmt.Errorf("%s is no key that can be used: %w", file, err)
}

// certificatesOf reads the certificates of a key: FILE-cert.pub, and those that
// the configuration names.
func (t *Target) certificatesOf(file string, public ssh.PublicKey) []*ssh.Certificate {
	var all []*ssh.Certificate
	for _, name := range append([]string{strings.TrimSuffix(file, ".pub") + "-cert.pub"}, t.certificates...) {
		text, err := readRegular(name, nil)
		if err != nil {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			continue
		}
		certificate, ok := key.(*ssh.Certificate)
		if ok && bytes.Equal(certificate.Key.Marshal(), public.Marshal()) {
			all = append(all, certificate)
		}
	}
	return all
}

// reporter notes why a key could not sign.
type reporter struct {
	ssh.Signer
	name  string
	login *login
}

// Sign signs.
func (r *reporter) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return r.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm signs with an algorithm of the key's type.
func (r *reporter) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signature, err := signWith(r.Signer, rand, data, algorithm)
	if err != nil {
		r.login.failed = append(r.login.failed, fmt.Sprintf("%s did not sign: %v", r.name, err))
	}
	return signature, err
}

func signWith(s ssh.Signer, rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if as, ok := s.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return as.SignWithAlgorithm(rand, data, algorithm)
	}
	return s.Sign(rand, data)
}

// lockedKey is a key file with a passphrase. It is asked for when the host has
// said that the key will do.
type lockedKey struct {
	t      *Target
	file   string
	public ssh.PublicKey
}

// maxPassphrases is how often a person may get a passphrase wrong.
const maxPassphrases = 3

// PublicKey is known without the passphrase.
func (k *lockedKey) PublicKey() ssh.PublicKey { return k.public }

// Sign asks for the passphrase, if nobody has yet, and signs.
func (k *lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm is Sign with an algorithm of the key's type.
func (k *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := k.t.o.Shared.unlock(k.file+" "+ssh.FingerprintSHA256(k.public), k.ask)
	if err != nil {
		return nil, err
	}
	return signWith(signer, rand, data, algorithm)
}

// ask asks for the passphrase until it is right.
func (k *lockedKey) ask() (ssh.Signer, error) {
	text, err := readRegular(k.file, nil)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	for range maxPassphrases {
		passphrase, err := k.t.o.Passphrase(fmt.Sprintf("Passphrase of %s", k.file))
		if err != nil {
			return nil, fmt.Errorf("ask for its passphrase: %w", err)
		}
		signer, err := ssh.ParsePrivateKeyWithPassphrase(text, passphrase)
		clear(passphrase)
		if err == nil {
			return signer, nil
		}
		if !errors.Is(err, x509.IncorrectPasswordError) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the passphrase was wrong %d times", maxPassphrases)
}

// explain is why the host let nobody in.
func (l *login) explain(err error) *Error {
	const doing = "log in"
	t := l.t
	if l.wanted != nil {
		return t.fail(doing, ErrAuthentication, fmt.Errorf(
			"the host takes no keys (any more): it asks for %s, which testr does not do", strings.Join(l.wanted, " or ")),
			"allow publickey for this user in the host's sshd_config")
	}
	var said []string
	if !errors.Is(err, errNoKeys) {
		said = append(said, strings.TrimPrefix(err.Error(), "ssh: handshake failed: "))
	}
	if len(l.offered) > 0 {
		said = append(said, "not accepted: "+strings.Join(l.offered, ", "))
	} else {
		said = append(said, "there is no key to offer")
	}
	if t.agent == "" {
		said = append(said, "there is no agent")
	}
	if t.implied && len(l.offered) == 0 {
		said = append(said, "there are no key files in ~/.ssh")
	}
	said = append(said, l.failed...)
	hint := strings.Join(l.hints, ", or ")
	switch {
	case hint != "":
	case len(l.offered) > 5:
		hint = fmt.Sprintf("hosts take few attempts: name the right key by IdentityFile, with IdentitiesOnly yes, "+
			"under `Host %s`", t.Alias)
	case len(l.offered) == 0:
		hint = "start an agent and `ssh-add` a key, or name one by IdentityFile"
	default:
		hint = fmt.Sprintf("add the public key to ~/.ssh/authorized_keys of %s there; `ssh -v %s` says more", t.User, t.Alias)
	}
	return t.fail(doing, ErrAuthentication, errors.New(strings.Join(said, "; ")), hint)
}
