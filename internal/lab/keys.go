package lab

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// NewHostKey makes an ed25519 key.
func NewHostKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("generate a host key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("generate a host key: %w", err)
	}
	return signer, nil
}

// WriteKey makes an ed25519 key, writes it to path in OpenSSH's format for its
// owner alone, and its public half to path.pub. A passphrase that isn't empty
// encrypts it. A file that is there is replaced.
func WriteKey(path, passphrase string) (ssh.PublicKey, error) {
	public, err := writeKey(path, passphrase)
	if err != nil {
		return nil, fmt.Errorf("write the key %s: %w", path, err)
	}
	return public, nil
}

func writeKey(path, passphrase string) (ssh.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "lab")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "lab", []byte(passphrase))
	}
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return sshPublic, os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(sshPublic), 0o644)
}

// ensureKey is the public half of the key at path, which is made if there is none.
func ensureKey(path string) (ssh.PublicKey, error) {
	text, err := os.ReadFile(path + ".pub")
	if errors.Is(err, fs.ErrNotExist) {
		return WriteKey(path, "")
	}
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, fmt.Errorf("read the key %s.pub: %w", path, err)
	}
	return public, nil
}

// isOneOf tells whether key is one of keys.
func isOneOf(key ssh.PublicKey, keys []ssh.PublicKey) bool {
	for _, k := range keys {
		if bytes.Equal(k.Marshal(), key.Marshal()) {
			return true
		}
	}
	return false
}

// certify makes host present a certificate for address that ca has signed.
func certify(host, ca ssh.Signer, address string) (ssh.Signer, error) {
	certificate := &ssh.Certificate{
		Key:             host.PublicKey(),
		CertType:        ssh.HostCert,
		KeyId:           "lab",
		ValidPrincipals: []string{address},
		ValidBefore:     ssh.CertTimeInfinity,
	}
	if err := certificate.SignCert(rand.Reader, ca); err != nil {
		return nil, fmt.Errorf("sign a host certificate: %w", err)
	}
	signer, err := ssh.NewCertSigner(certificate, host)
	if err != nil {
		return nil, fmt.Errorf("use a host certificate: %w", err)
	}
	return signer, nil
}
