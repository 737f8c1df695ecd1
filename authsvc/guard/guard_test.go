package guard_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/authsvc/guard"
)

func TestDelaysGrowToABanThatEnds(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for i := range 5 {
			w.wants(from(home, "ann", fmt.Sprint("free", i)), no, "pass")
		}
		w.wants(from(home, "ann", "6th"), no, "pass")
		for i, delay := range []time.Duration{1, 2, 4, 8, 16, 30} {
			delay *= time.Second
			c := from(home, "ann", fmt.Sprint("later", i))
			w.wants(c, no, "delay "+delay.String())
			time.Sleep(delay - time.Millisecond)
			w.wants(c, no, "delay 1s")
			time.Sleep(time.Millisecond)
			w.wants(c, no, "pass")
		}
		w.wants(from(home, "ann", "next"), no, "ban 15m0s")
		w.wants(from(home, "bob", "first"), "bob", "pass") // another user
		w.wants(from(office, "ann", "right"), "ann", "pass")
		w.wantNumber("bans_total", "pair", 1)
		w.wantNumber("active_bans", "pair", 1)
		time.Sleep(15 * time.Minute)
		w.wantNumber("active_bans", "pair", 0)
		w.wants(from(home, "ann", "right"), "ann", "pass")
	})
}

func TestAddressIsBannedWhateverTheUser(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		// 60 that count, and one is forgiven in each five minutes of delays.
		if got := w.getBanned(home); got != 63 {
			t.Errorf("banned after %d guesses, want 63", got)
		}
		w.wants(from(home, "ann", "right"), "ann", "ban 15m0s")
		w.wants(from(office, "ann", "right"), "ann", "pass")
		w.wantNumber("bans_total", "address", 1)
		w.wantNumber("bans_total", "pair", 0)
		if got := strings.Count(w.log.String(), "\n"); got != 1 || !strings.Contains(w.log.String(), "address=192.0.2.1 ") {
			t.Errorf("%d lines, want one about 192.0.2.1:\n%s", got, &w.log)
		}
		time.Sleep(15 * time.Minute)
		w.wants(from(home, "ann", "right"), "ann", "pass")
	})
}

func TestWhatNeverCounts(t *testing.T) {
	tests := []struct {
		name   string
		caller func(i int) guard.Caller
		answer string
	}{
		{"the same wrong credential", func(int) guard.Caller { return from(home, "ann", "old") }, no},
		{"eight wrong credentials in turn", func(i int) guard.Caller { return from(home, fmt.Sprint("machine", i%8), "old") }, no},
		{"an outage", func(i int) guard.Caller { return from(home, "ann", fmt.Sprint(i)) }, outage},
		{"right credentials", func(i int) guard.Caller { return from(home, "ann", fmt.Sprint(i)) }, "ann"},
		{"a network that does not count", func(i int) guard.Caller { return from("10.1.2.3", "ann", fmt.Sprint(i)) }, no},
		{"that network, as IPv6 maps it", func(i int) guard.Caller { return from("::ffff:10.1.2.3", "ann", fmt.Sprint(i)) }, no},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(c *guard.Config) {
				roomy(c)
				c.Uncounted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
			}, func(w *world) {
				for i := range 1000 {
					w.wants(test.caller(i), test.answer, "pass")
				}
				w.wants(from(home, "ann", "right"), "ann", "pass")
				w.wantNumber("limits_total", "", 0)
			})
		})
	}
}

func TestWhatIsOneAddressAndOneUser(t *testing.T) {
	tests := []struct {
		name         string
		first, other guard.Caller
		want         string
	}{
		{"the same", from(home, "ann", "x"), from(home, "ann", "y"), "ban 15m0s"},
		{"a /64", from("2001:db8:1:2::1", "ann", "x"), from("2001:db8:1:2:ffff::2", "ann", "y"), "ban 15m0s"},
		{"two /64", from("2001:db8:1:2::1", "ann", "x"), from("2001:db8:1:3::1", "ann", "y"), "pass"},
		{"IPv4 in IPv6", from(home, "ann", "x"), from("::ffff:"+home, "ann", "y"), "ban 15m0s"},
		{"a zone", from("fe80::1%eth0", "ann", "x"), from("fe80::1%eth1", "ann", "y"), "ban 15m0s"},
		{"neighbors in IPv4", from(home, "ann", "x"), from("192.0.2.2", "ann", "y"), "pass"},
		{"letter case and spaces", from(home, "ann", "x"), from(home, " ANN ", "y"), "ban 15m0s"},
		{"two users", from(home, "ann", "x"), from(home, "bob", "y"), "pass"},
		{"no address", from("", "ann", "x"), from("", "ann", "y"), "ban 15m0s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(c *guard.Config) { c.Pair = guard.Threshold{Free: 1, Ban: 1} }, func(w *world) {
				w.wants(test.first, no, "pass")
				w.wants(test.other, "ann", test.want)
			})
		})
	}
}

// A ban is no oracle: what a banned address is told does not depend on whether
// the credential is right, unless it knew so before.
func TestBannedAddressLearnsNothing(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		used, seen := from(office, "ann", "right"), from(office, "bob", "right")
		w.wants(used, "ann", "pass")
		w.Passed(seen, "bob")
		w.getBanned(office)
		w.wants(from(office, "eve", "right"), "eve", "ban 15m0s")
		w.wants(from(office, "eve", "wrong"), no, "ban 15m0s")
		w.wants(used, "ann", "pass")
		w.wants(seen, "bob", "pass")
		w.wants(from(office, "ann", "another token"), "ann", "ban 15m0s")
		w.wants(used, no, "pass") // it is revoked, and known no longer
		w.wants(used, no, "ban 15m0s")
	})
}

func TestUsedCredentialIsRememberedForADay(t *testing.T) {
	inWorld(t, func(c *guard.Config) { c.BanFor = 2 * time.Hour }, func(w *world) {
		used, begin := from(office, "ann", "right"), time.Now()
		w.wants(used, "ann", "pass")
		time.Sleep(23 * time.Hour)
		w.getBanned(office)
		time.Sleep(24*time.Hour - 1 - time.Since(begin))
		pass, limit := w.Enter(context.Background(), used)
		if limit != nil {
			t.Fatalf("within a day: %v", limit)
		}
		pass.NoAnswer() // which does not prolong it
		time.Sleep(time.Nanosecond)
		if got := w.ask(used, "ann"); !strings.HasPrefix(got, "ban") {
			t.Errorf("after a day: %s", got)
		}
	})
}

// Behind a balancer that hides its clients, or a NAT, are guessers and
// customers.
func TestAddressWithManyCustomersIsNeverBannedAsAWhole(t *testing.T) {
	inWorld(t, roomy, func(w *world) {
		for i := range 20 {
			w.wants(from(office, fmt.Sprint("customer", i), "right"), fmt.Sprint("customer", i), "pass")
		}
		for i := range 200 {
			w.wants(from(office, fmt.Sprint("user", i), "wrong"), no, "pass")
		}
		for w.guess(office, "ann") {
		}
		w.wants(from(office, "ann", "right"), "ann", "ban 15m0s")
		w.wants(from(office, "bob", "right"), "bob", "pass")
		w.wantNumber("active_bans", "address", 0)
		w.wantNumber("active_bans", "pair", 1)
		w.wantNumber("active_bans", "spared", 1)
		if got := strings.Count(w.log.String(), "from an address with many customers"); got != 1 {
			t.Errorf("%d lines, want 1:\n%s", got, &w.log)
		}
	})
}

// Customers who come back after a day are customers again.
func TestCustomersAreCountedAgain(t *testing.T) {
	inWorld(t, roomy, func(w *world) {
		for range 2 {
			for i := range 20 {
				c := from(office, fmt.Sprint("customer", i), "right")
				w.Passed(c, c.User)
			}
			for i := range 61 {
				w.wants(from(office, fmt.Sprint("user", i), fmt.Sprint(time.Now())), no, "pass")
			}
			time.Sleep(25 * time.Hour)
			w.wants(from(office, "ann", "right"), outage, "pass")
		}
	})
}

func TestCallersWithoutAddressAreNotBannedTogether(t *testing.T) {
	inWorld(t, roomy, func(w *world) {
		for i := range 200 {
			w.wants(from("", fmt.Sprint("user", i), "wrong"), no, "pass")
		}
		w.wants(from("", "ann", "right"), "ann", "pass")
		if !strings.Contains(w.log.String(), "address=unknown") {
			t.Errorf("the log does not tell:\n%s", &w.log)
		}
	})
}

// People paste tokens where the user name belongs.
func TestNeitherLogNorMetricsTellTheUser(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for w.guess(home, "tok_live_4f9a") {
		}
		families, err := w.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{w.log.String(), fmt.Sprint(families)} {
			if text == "" || strings.Contains(text, "tok_live") || strings.Contains(text, "4f9a") {
				t.Errorf("%q", text)
			}
		}
	})
}

func TestMetricsBeginAtZero(t *testing.T) {
	w := newWorld(t, guard.Defaults())
	for name, values := range map[string][]string{
		"limits_total": {"delay", "ban", "busy"}, "lookups_total": {"accepted", "refused", "no_answer", "elsewhere"},
		"bans_total": {"address", "pair", "spared"}, "active_bans": {"address", "pair", "spared"},
		"records": {"visitor", "offender", "host", "pair"}, "lookups_in_flight": {""}, "waiting": {""},
	} {
		for _, value := range values {
			w.wantNumber(name, value, 0)
		}
	}
	w.wantNumber("max_lookups_in_flight", "", 32)
	w.wantNumber("max_waiting", "", 100)
	w.wantNumber("max_records", "", 1<<15)
}

func TestValidate(t *testing.T) {
	tests := []struct {
		change func(*guard.Config)
		want   string
	}{
		{func(*guard.Config) {}, ""},
		{func(c *guard.Config) { c.InFlight = 3 }, "guard: InFlight is 3; it must be at least 4"},
		{func(c *guard.Config) { c.Burst = 0 }, "guard: Burst is 0; it must be at least 4"},
		{func(c *guard.Config) { c.PerSecond = 2e9 }, "guard: PerSecond is 2000000000 and AddressPerSecond 1; they must be at most 1000000000"},
		{func(c *guard.Config) { c.Pair.Free = -1 }, "guard: Pair.Free is -1; it must be at least 0"},
		{func(c *guard.Config) { c.Wait = -1 }, "guard: Wait is -1ns; it must be at least 0s"},
		{func(c *guard.Config) { c.BanFor = 0 }, "guard: BanFor is 0s; it must be at least 1s"},
		{func(c *guard.Config) { c.MaxRecords = 0 }, "guard: MaxRecords is 0; it must be at least 1"},
		{func(c *guard.Config) { c.Uncounted = []netip.Prefix{{}} }, "guard: Uncounted has invalid Prefix; write networks like 192.0.2.0/24 or 2001:db8::/32"},
	}
	for _, test := range tests {
		config := guard.Defaults()
		test.change(&config)
		got := ""
		if _, err := guard.New(config, prometheus.NewRegistry(), slog.Default()); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
