//go:build peers

package sshdial

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"testr/internal/lab"
)

// BenchmarkHostsQuickAck measures, with and without TCP_QUICKACK, a connection to
// sshd, the first command on it and the second one. It reports medians, and in
// "-min" and "-max" the fastest and the slowest.
func BenchmarkHostsQuickAck(b *testing.B) {
	l, err := lab.Start(b.Context(), b.TempDir(), 1, lab.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	target, err := Resolve(b.Context(), l.Hosts[0].Name, Options{Home: l.Home, ConfigFile: l.Config})
	if err != nil {
		b.Fatal(err)
	}
	took := map[string][]time.Duration{}
	for b.Loop() {
		for _, quick := range []bool{true, false} { // in turn, so that both meet the same machine
			begin := time.Now()
			lap := func(what string) {
				now := time.Now()
				name := fmt.Sprintf("%s-quick=%v-ms", what, quick)
				took[name] = append(took[name], now.Sub(begin))
				begin = now
			}
			client, err := dialPlain(b.Context(), target, quick)
			if err != nil {
				b.Fatal(err)
			}
			lap("dial")
			for _, what := range []string{"first", "second"} {
				session, err := client.NewSession()
				if err == nil {
					err = session.Run("true")
				}
				if err != nil {
					b.Fatal(err)
				}
				lap(what)
			}
			_ = client.Close()
		}
	}
	b.ReportMetric(0, "ns/op")
	for name, all := range took {
		slices.Sort(all)
		for suffix, d := range map[string]time.Duration{"": all[len(all)/2], "-min": all[0], "-max": all[len(all)-1]} {
			b.ReportMetric(float64(d.Microseconds())/1000, name+suffix)
		}
	}
}

// dialPlain is Target.Dial, with quick acknowledgements or without, and nobody
// who watches the connection.
func dialPlain(ctx context.Context, t *Target, quick bool) (*ssh.Client, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &attempt{t: t, login: &login{t: t}, end: cancel}
	defer a.finish()
	var err error
	if a.keys, err = readHostKeys(t); err != nil {
		return nil, err
	}
	a.allow("answer", t.patience)
	raw, err := t.open(ctx, nil)
	if err != nil {
		return nil, err
	}
	s := newStream(raw, t.o.limit())
	if !quick {
		s.quick = nil
	}
	c, channels, requests, err := ssh.NewClientConn(s, t.Address(), a.config(ctx))
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}
