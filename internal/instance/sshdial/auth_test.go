package sshdial_test

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"testr/internal/instance/sshdial"
)

// serveAgent is an agent that has keys; it returns its socket.
func serveAgent(t *testing.T, keys ...any) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, key := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = agent.ServeAgent(ring, conn)
				_ = conn.Close()
			}()
		}
	}()
	return socket
}

// authHost is a host where a key may log in, and a user without any.
type authHost struct {
	*bareServer
	home, config string
	log          bytes.Buffer
	o            sshdial.Options
}

func newAuthHost(t *testing.T, config string, user ssh.PublicKey) *authHost {
	t.Helper()
	hostKey := newKey(t, "ed25519")
	h := &authHost{bareServer: startServer(t, user, hostKey), home: t.TempDir()}
	write(t, filepath.Join(h.home, ".ssh", "known_hosts"), "known "+text(hostKey.PublicKey())+"\n")
	h.config = write(t, filepath.Join(h.home, ".ssh", "config"), config+"\nHost w1\n HostName 127.0.0.1\n Port "+
		portOf(t, h.Addr().String())+"\n User lab\n HostKeyAlias known\n GlobalKnownHostsFile none\n")
	t.Setenv("SSH_AUTH_SOCK", "")
	h.o = sshdial.Options{Home: h.home, ConfigFile: h.config, Log: hclog.New(&hclog.LoggerOptions{
		Output: &h.log, Level: hclog.Trace, Mutex: new(sync.Mutex)})}
	return h
}

func (h *authHost) key(name string) string { return filepath.Join(h.home, ".ssh", name) }

func (h *authHost) dial(t *testing.T) error {
	t.Helper()
	conn, err := resolve(t, "w1", h.o).Dial(testContext(t))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// writeKey writes a private key of any type, as OpenSSH does.
func writeKey(t *testing.T, name string, private any) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	return write(t, name, string(pem.EncodeToMemory(block)))
}

func TestLoginByKeyFile(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run(kind, func(t *testing.T) {
			private, signer := newPrivateKey(t, kind)
			h := newAuthHost(t, "", signer.PublicKey())
			writeKey(t, h.key("id_"+kind), private)
			if err := h.dial(t); err != nil {
				t.Errorf("Dial error: %v", err)
			}
		})
	}
}

func TestLoginByAgent(t *testing.T) {
	private, signer := newPrivateKey(t, "rsa")
	socket := serveAgent(t, private)
	for _, test := range []struct {
		name, config, env, option string
		want                      error
	}{
		{name: "option", option: socket},
		{name: "option before the configuration", option: socket, config: "IdentityAgent none"},
		{name: "environment", env: socket},
		{name: "IdentityAgent", config: "IdentityAgent " + socket},
		{name: "IdentityAgent before the environment", config: "IdentityAgent " + socket, env: "/nowhere"},
		{name: "IdentityAgent SSH_AUTH_SOCK", config: "IdentityAgent SSH_AUTH_SOCK", env: socket},
		{name: "IdentityAgent $VARIABLE", config: "IdentityAgent $SSH_AUTH_SOCK", env: socket},
		{name: "IdentityAgent ${VARIABLE}", config: "IdentityAgent ${SSH_AUTH_SOCK}", env: socket},
		{name: "IdentityAgent none", config: "IdentityAgent none", env: socket, want: sshdial.ErrAuthentication},
		{name: "nobody there", env: "/nowhere/agent", want: sshdial.ErrAuthentication},
		{name: "IdentitiesOnly", config: "IdentitiesOnly yes", env: socket, want: sshdial.ErrAuthentication},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newAuthHost(t, test.config, signer.PublicKey())
			t.Setenv("SSH_AUTH_SOCK", test.env)
			h.o.AgentSocket = test.option
			if err := h.dial(t); !errors.Is(err, test.want) {
				t.Errorf("Dial error is %v; want %v", err, test.want)
			}
		})
	}
}

// Keys are offered in ssh's order, and with IdentitiesOnly no others than those
// that are named.
func TestLoginOrder(t *testing.T) {
	var private [4]any
	var prints [4]string
	for i := range private {
		var signer ssh.Signer
		private[i], signer = newPrivateKey(t, "ed25519")
		prints[i] = ssh.FingerprintSHA256(signer.PublicKey())
	}
	stranger := newKey(t, "ed25519").PublicKey()
	socket := serveAgent(t, private[0], private[1], private[2])
	for _, test := range []struct {
		name, config string
		want         []string
	}{
		{"named ones of the agent first, files last", "IdentityFile ~/.ssh/three\nIdentityFile ~/.ssh/one",
			[]string{prints[1], prints[0], prints[2], prints[3]}},
		{"only the named ones", "IdentityFile ~/.ssh/three\nIdentityFile ~/.ssh/one\nIdentitiesOnly yes",
			[]string{prints[1], prints[3]}},
		{"one that is named by its public key", "IdentityFile ~/.ssh/two.pub\nIdentitiesOnly yes", []string{prints[2]}},
		{"none", "IdentityFile none\nIdentitiesOnly yes", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newAuthHost(t, test.config, stranger)
			h.o.AgentSocket = socket
			writeKey(t, h.key("one"), private[1])
			writeKey(t, h.key("three"), private[3])
			two, _ := ssh.NewSignerFromKey(private[2])
			write(t, h.key("two.pub"), text(two.PublicKey())+" comment\n")
			err := h.dial(t)
			if !errors.Is(err, sshdial.ErrAuthentication) {
				t.Fatalf("Dial error is %v; want %v", err, sshdial.ErrAuthentication)
			}
			if got := h.seen(); !slices.Equal(got, test.want) {
				t.Errorf("keys were offered in the order %q; want %q", got, test.want)
			}
			if len(test.want) > 0 && !strings.Contains(err.Error(), "not accepted: ") {
				t.Errorf("Dial error is %q; want which keys were offered in it", err)
			}
		})
	}
}

// A key file with a passphrase: the agent's one is taken first, a person is
// asked once for all connections, and where there is nobody to ask the error
// says what to do.
func TestLoginPassphrase(t *testing.T) {
	// Made by ssh-keygen -a 1, with the passphrase "secret": other keys take long
	// to unlock.
	sealed, err := os.ReadFile(filepath.Join("testdata", "sealed"))
	if err != nil {
		t.Fatal(err)
	}
	private, err := ssh.ParseRawPrivateKeyWithPassphrase(sealed, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public := signer.PublicKey()
	writeSealed := func(t *testing.T, h *authHost) string { return write(t, h.key("id_ed25519"), string(sealed)) }

	t.Run("in the agent", func(t *testing.T) {
		h := newAuthHost(t, "", public)
		writeSealed(t, h)
		h.o.AgentSocket = serveAgent(t, private)
		h.o.Passphrase = func(string) ([]byte, error) {
			t.Error("somebody was asked for the passphrase")
			return nil, errors.New("no")
		}
		if err := h.dial(t); err != nil {
			t.Errorf("Dial error: %v", err)
		}
	})
	t.Run("nobody to ask", func(t *testing.T) {
		h := newAuthHost(t, "", public)
		file := writeSealed(t, h)
		err := h.dial(t)
		if want := file + " has a passphrase, and there is no terminal"; !errors.Is(err, sshdial.ErrAuthentication) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("Dial error is %v; want that the key has a passphrase", err)
		}
		if got, want := hintOf(err), "`ssh-add "+file+"`"; got != want {
			t.Errorf("the hint is %q; want %q", got, want)
		}
	})
	t.Run("asked once for all", func(t *testing.T) {
		h := newAuthHost(t, "", public)
		file := writeSealed(t, h)
		var mu sync.Mutex
		var asked []string
		h.o.Shared = new(sshdial.Shared)
		h.o.Passphrase = func(prompt string) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, prompt)
			if len(asked) == 1 {
				return []byte("wrong"), nil
			}
			return []byte("secret"), nil
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := h.dial(t); err != nil {
					t.Errorf("Dial error: %v", err)
				}
			})
		}
		all.Wait()
		if len(asked) != 2 || !strings.Contains(asked[0], file) {
			t.Errorf("a person was asked %q; want twice, for %s", asked, file)
		}
	})
	t.Run("wrong", func(t *testing.T) {
		h := newAuthHost(t, "", public)
		writeSealed(t, h)
		asked := 0
		h.o.Passphrase = func(string) ([]byte, error) {
			asked++
			return []byte("wrong"), nil
		}
		err := h.dial(t)
		if want := "the passphrase was wrong 3 times"; !errors.Is(err, sshdial.ErrAuthentication) ||
			!strings.Contains(err.Error(), want) || asked != 3 {
			t.Errorf("Dial error is %v after %d questions; want that it was wrong 3 times", err, asked)
		}
	})
	t.Run("refused, with another key", func(t *testing.T) {
		second, other := newPrivateKey(t, "ecdsa")
		h := newAuthHost(t, "IdentityFile ~/.ssh/id_ed25519\nIdentityFile ~/.ssh/id_ecdsa", public)
		h.users = append(h.users, other.PublicKey())
		writeSealed(t, h)
		writeKey(t, h.key("id_ecdsa"), second)
		h.o.Passphrase = func(string) ([]byte, error) { return nil, errors.New("interrupted") }
		if err := h.dial(t); err != nil {
			t.Errorf("Dial error is %v; want that the other key is used", err)
		}
	})
	t.Run("not asked for a key that the host does not take", func(t *testing.T) {
		h := newAuthHost(t, "", newKey(t, "ed25519").PublicKey())
		writeSealed(t, h)
		h.o.Passphrase = func(string) ([]byte, error) {
			t.Error("somebody was asked for the passphrase")
			return nil, errors.New("no")
		}
		if err := h.dial(t); !errors.Is(err, sshdial.ErrAuthentication) {
			t.Errorf("Dial error is %v; want %v", err, sshdial.ErrAuthentication)
		}
	})
}

// Defence S16: a key that others may read is not used, and no error or log has
// anything of a private key in it.
func TestLoginKeyFiles(t *testing.T) {
	private, signer := newPrivateKey(t, "ed25519")
	for _, test := range []struct {
		name    string
		arrange func(t *testing.T, h *authHost)
		says    string
		hint    string
	}{
		{"readable by others", func(t *testing.T, h *authHost) {
			if err := os.Chmod(writeKey(t, h.key("id_ed25519"), private), 0o640); err != nil {
				t.Fatal(err)
			}
		}, "id_ed25519 may be read by others (mode 0640), and is not used", "`chmod 600 "},
		{"broken", func(t *testing.T, h *authHost) {
			file := writeKey(t, h.key("id_ed25519"), private)
			rewrite(t, file, func(text string) string { return text[:len(text)-60] })
		}, "id_ed25519 is no key that can be used", ""},
		{"a directory", func(t *testing.T, h *authHost) {
			if err := os.MkdirAll(h.key("id_ed25519"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is no regular file", ""},
		{"no keys", func(*testing.T, *authHost) {},
			"there is no key to offer; there is no agent; there are no key files", "ssh-add"},
		{"named, but not there", func(t *testing.T, h *authHost) {
			rewrite(t, h.config, func(text string) string { return "IdentityFile ~/.ssh/mine\n" + text })
		}, ".ssh/mine: no such file", "ssh-add"},
		{"public without the private one", func(t *testing.T, h *authHost) {
			write(t, h.key("id_ed25519"), text(signer.PublicKey()))
		}, "the agent does not have the private one", ""},
		{"an agent without keys", func(t *testing.T, h *authHost) { h.o.AgentSocket = serveAgent(t) },
			"the agent has no keys", "ssh-add"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newAuthHost(t, "", signer.PublicKey())
			test.arrange(t, h)
			err := h.dial(t)
			if !errors.Is(err, sshdial.ErrAuthentication) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Dial error is %v; want %q in it", err, test.says)
			}
			if got := hintOf(err); !strings.Contains(got, test.hint) {
				t.Errorf("the hint is %q; want %q in it", got, test.hint)
			}
			told := fmt.Sprintf("%v %+v %#v", err, err, err) + h.log.String()
			for _, line := range secretLines(t, private) {
				if strings.Contains(told, line) {
					t.Errorf("a line of the private key is told: %q", told)
				}
			}
		})
	}
}

// secretLines are the lines of a private key's file that nobody is to see.
func secretLines(t *testing.T, private any) []string {
	t.Helper()
	name := writeKey(t, filepath.Join(t.TempDir(), "key"), private)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[1 : len(lines)-1]
}

// A certificate beside the key is offered before it.
func TestLoginCertificate(t *testing.T) {
	private, signer := newPrivateKey(t, "ed25519")
	authority := newKey(t, "ed25519")
	c := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"lab"},
		ValidBefore: ssh.CertTimeInfinity}
	if err := c.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, config, file string }{
		{"beside the key", "", "id_ed25519-cert.pub"},
		{"named", "CertificateFile ~/.ssh/badge", "badge"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newAuthHost(t, test.config, c)
			writeKey(t, h.key("id_ed25519"), private)
			write(t, h.key(test.file), text(c)+"\n")
			if err := h.dial(t); err != nil {
				t.Errorf("Dial error: %v", err)
			}
			if got := h.seen(); len(got) != 1 || got[0] != ssh.FingerprintSHA256(c) {
				t.Errorf("%q were offered; want the certificate", got)
			}
		})
	}
}

// A host that wants something else than a key is told apart.
func TestLoginOtherMethods(t *testing.T) {
	signer, hostKey := newKey(t, "ed25519"), newKey(t, "ed25519")
	l := listen(t, func(conn net.Conn) {
		config := &ssh.ServerConfig{
			PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, errors.New("no") },
		}
		config.AddHostKey(hostKey)
		_, _, _, _ = ssh.NewServerConn(conn, config)
		_ = conn.Close()
	})
	port := portOf(t, l.Addr().String())
	h := newAuthHost(t, "Host other\n HostName 127.0.0.1\n Port "+port+"\n User lab\n", signer.PublicKey())
	write(t, filepath.Join(h.home, ".ssh", "known_hosts"), "[127.0.0.1]:"+port+" "+text(hostKey.PublicKey())+"\n")
	_, err := resolve(t, "other", h.o).Dial(testContext(t))
	if want := "it asks for password, which testr does not do"; !errors.Is(err, sshdial.ErrAuthentication) ||
		!strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("Dial error is %v; want that the host asks for a password", err)
	}
}
