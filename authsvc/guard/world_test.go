package guard_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/authsvc/guard"
)

// A world is a guard, and what it tells.
type world struct {
	*guard.Guard
	t       testing.TB
	metrics *prometheus.Registry
	log     bytes.Buffer
}

func newWorld(t testing.TB, config guard.Config) *world {
	t.Helper()
	w := &world{t: t, metrics: prometheus.NewRegistry()}
	g, err := guard.New(config, w.metrics, slog.New(slog.NewTextHandler(&w.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.Guard = g
	return w
}

// inWorld runs a test with virtual time.
func inWorld(t *testing.T, change func(*guard.Config), test func(*world)) {
	t.Helper()
	config := guard.Defaults()
	if change != nil {
		change(&config)
	}
	synctest.Test(t, func(t *testing.T) { test(newWorld(t, config)) })
}

// roomy takes away the bounds on look-ups, for tests of bans.
func roomy(c *guard.Config) {
	c.InFlight, c.PerSecond, c.Burst = 1e6, 1e6, 1e6
	c.AddressInFlight, c.AddressPerSecond, c.AddressBurst = 1e6, 1e6, 1e6
}

func from(address, user, secret string) guard.Caller {
	a, _ := netip.ParseAddr(address)
	return guard.Caller{Address: a, User: user, Credential: sha256.Sum256([]byte(user + "\x00" + secret))}
}

// What a source can say; anything else is the subject that it accepts.
const (
	no     = "no"
	outage = "outage"
)

func settle(p *guard.Pass, answer string) {
	switch answer {
	case no:
		p.Refused()
	case outage:
		p.NoAnswer()
	default:
		p.Accepted(answer)
	}
}

// ask is a whole look-up; it returns "pass" or the limit.
func (w *world) ask(c guard.Caller, answer string) string {
	pass, limit := w.Enter(context.Background(), c)
	if limit != nil {
		return fmt.Sprint(limit.Reason, " ", limit.RetryAfter)
	}
	settle(pass, answer)
	return "pass"
}

func (w *world) wants(c guard.Caller, answer, want string) {
	w.t.Helper()
	if got := w.ask(c, answer); got != want {
		w.t.Errorf("%s at %v: %s, want %s", c.User, c.Address, got, want)
	}
}

// guess presents a wrong credential after the end of any delay; it returns
// false if the caller is banned.
func (w *world) guess(address, user string) bool {
	c := from(address, user, fmt.Sprint("wrong", time.Now().UnixNano()))
	for {
		pass, limit := w.Enter(context.Background(), c)
		switch {
		case limit == nil:
			pass.Refused()
			time.Sleep(time.Nanosecond) // so that the next one is another
			return true
		case limit.Reason == guard.Ban:
			return false
		}
		time.Sleep(limit.RetryAfter)
	}
}

// getBanned guesses for one user after the other until the address is banned,
// and returns how often.
func (w *world) getBanned(address string) int {
	for n := 0; ; n++ {
		if !w.guess(address, fmt.Sprint("user", n)) {
			return n
		}
	}
}

// number reads a metric: the sum of those whose labels' values include value.
func (w *world) number(name, value string) int {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, family := range families {
		if family.GetName() != "authsvc_guard_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			if value == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == value {
				sum, found = sum+m.GetCounter().GetValue()+m.GetGauge().GetValue(), true
			}
		}
	}
	if !found {
		w.t.Errorf("no metric %s with %q", name, value)
	}
	return int(sum)
}

func (w *world) wantNumber(name, value string, want int) {
	w.t.Helper()
	if got := w.number(name, value); got != want {
		w.t.Errorf("%s{%s} is %d, want %d", name, value, got, want)
	}
}

const (
	home   = "192.0.2.1"
	office = "198.51.100.7"
)
