package lab

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNames(t *testing.T) {
	n, err := newName()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{n.namespace(64), n.dir()} {
		if got, ok := parseName(text); !ok || got != n {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, ok, n)
		}
	}
	if link := n.link(999, "o"); len(link) > 15 {
		t.Errorf("got %s, of %d bytes; want no more than the kernel takes", link, len(link))
	}
	for _, text := range []string{"", "w1", "testr-lab-", "testr-lab-1-2-3", "testr-lab-x-2-ab-1", "testr-lab-0-2-ab-1"} {
		if got, ok := parseName(text); ok {
			t.Errorf("%q: got %+v; want it to be nobody's", text, got)
		}
	}
}

// A number that is used again doesn't make a dead process alive.
func TestNameAlive(t *testing.T) {
	start, err := startOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		name name
		want bool
	}{
		"this process":                        {name{pid: os.Getpid(), start: start}, true},
		"another one with its number, before": {name{pid: os.Getpid(), start: "1"}, false},
		"no process":                          {name{pid: 1 << 30, start: start}, false},
	}
	for what, test := range tests {
		if got := test.name.alive(); got != test.want {
			t.Errorf("%s: got %v; want %v", what, got, test.want)
		}
	}
}

func TestFreeSubnets(t *testing.T) {
	subnets, err := freeSubnets(100)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, s := range subnets {
		if s != s.Masked() || s.Bits() != 30 || seen[s.String()] {
			t.Errorf("got %s; want another subnet of four addresses", s)
		}
		seen[s.String()] = true
	}
	if len(subnets) != 100 {
		t.Errorf("got %d subnets; want 100", len(subnets))
	}
	if _, err := freeSubnets(1<<14 + 1); err == nil {
		t.Error("got more subnets than there are")
	}
}

func TestKnownHost(t *testing.T) {
	signer, err := NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		entry entry
		want  string
	}{
		"usual port": {entry{address: "10.231.0.2", port: 22}, "10.231.0.2 ssh-ed25519 "},
		"port":       {entry{address: "127.0.0.1", port: 2222}, "[127.0.0.1]:2222 ssh-ed25519 "},
		"authority":  {entry{address: "127.0.0.1", port: 22, ca: true}, "@cert-authority 127.0.0.1 ssh-ed25519 "},
	}
	for what, test := range tests {
		test.entry.key = signer.PublicKey()
		line := test.entry.knownHost()
		if diff := cmp.Diff(test.want, line[:min(len(test.want), len(line))]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}
