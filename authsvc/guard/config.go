package guard

import (
	"fmt"
	"net/netip"
	"time"
)

// A Config has the guard's bounds. Start from Defaults.
type Config struct {
	// InFlight is how many unknown credentials are looked up at a time.
	// PerSecond is how many look-ups a second may end in a refusal, and Burst
	// how many may do so at once after a quiet time. Only refusals cost:
	// whoever is accepted gives everything back. Addresses that have guessed
	// can use half of InFlight and of Burst, other addresses three quarters.
	// The last quarter is for credentials that were accepted from the same
	// address within a day, and have lost their place in the cache.
	InFlight, PerSecond, Burst int
	// AddressInFlight, AddressPerSecond, and AddressBurst bound one address
	// in the same way. They do not apply to an address with many customers.
	AddressInFlight, AddressPerSecond, AddressBurst int
	// Wait is how long a caller waits for room, and MaxWaiting how many can
	// wait. The rest, and those who make way for somebody better, get 429.
	Wait       time.Duration
	MaxWaiting int

	// Address and Pair say what failures of an address, and of a user at an
	// address, lead to.
	Address, Pair Threshold
	// Forgive is the time after which one failure no longer counts.
	Forgive time.Duration
	// MaxDelay is the longest delay; the first is one second, and each
	// failure doubles it.
	MaxDelay time.Duration
	// BanFor is how long a ban lasts.
	BanFor time.Duration
	// SharedCustomers is the number of customers accepted from an address
	// within a day from which on it is never delayed or banned as a whole.
	SharedCustomers int
	// Uncounted are networks whose failures never count, such as the
	// operator's own. Their look-ups still share InFlight, PerSecond, and
	// Burst with all others.
	Uncounted []netip.Prefix

	// MaxRecords bounds what is remembered: that many addresses without an
	// answer so far, with failures, and with customers; that many users at
	// addresses; that many bans. When all five are full they take about 2 KB
	// for each of MaxRecords.
	MaxRecords int
}

// A Threshold says when failures have consequences: after Free of them each
// further one brings a delay, and at Ban comes the ban.
type Threshold struct{ Free, Ban int }

// Defaults returns the bounds that suit a vendor with up to some ten thousand
// customers.
func Defaults() Config {
	return Config{
		// What a vendor's API certainly bears: 20 refusals a second. With 1,000
		// guesses a second, 2 of 100 reach the vendor. An API that takes one
		// second to answer still serves 24 first logins a second, and has eight
		// places for them that no known guesser can take.
		InFlight: 32, PerSecond: 20, Burst: 40,
		// An office whose fifty developers log in for the first time within a
		// second passes at 200 ms an answer. A machine that sends one wrong
		// password for days uses a tenth of one a second (it is asked about
		// again when the cache forgets the refusal).
		AddressInFlight: 10, AddressPerSecond: 1, AddressBurst: 20,
		// Less than a second, so that somebody who waits, is told Retry-After: 1,
		// and comes back is served within two.
		Wait: 750 * time.Millisecond, MaxWaiting: 100,
		// Fifty developers who mistype are not fifty failures: those of a user
		// who then logs in are taken back. 20 leaves room for those who give
		// up; 60 is nobody's mistake. For one user, five typing errors are
		// free, and six delays (about a minute) come before the ban.
		Address: Threshold{Free: 20, Ban: 60}, Pair: Threshold{Free: 5, Ban: 12},
		// A guesser gets 12 tries an hour without a delay, and 48 with bans, for
		// one user at one address.
		Forgive: 5 * time.Minute, MaxDelay: 30 * time.Second, BanFor: 15 * time.Minute,
		SharedCustomers: 20,
		// At 20 refusals a second it takes 27 minutes to push out one address
		// that has failed, which is longer than a ban. The five tables hold
		// some 65 MB when full.
		MaxRecords: 1 << 15,
	}
}

// Validate returns an error that names the first field that cannot be used.
func (c Config) Validate() error {
	for _, at := range []struct {
		field string
		value int
		least int
	}{
		{"InFlight", c.InFlight, 4}, {"PerSecond", c.PerSecond, 1}, {"Burst", c.Burst, 4},
		{"AddressInFlight", c.AddressInFlight, 1}, {"AddressPerSecond", c.AddressPerSecond, 1}, {"AddressBurst", c.AddressBurst, 1},
		{"MaxWaiting", c.MaxWaiting, 1}, {"SharedCustomers", c.SharedCustomers, 1}, {"MaxRecords", c.MaxRecords, 1},
		{"Address.Ban", c.Address.Ban, 1}, {"Pair.Ban", c.Pair.Ban, 1},
		{"Address.Free", c.Address.Free, 0}, {"Pair.Free", c.Pair.Free, 0},
	} {
		if at.value < at.least {
			return fmt.Errorf("guard: %s is %d; it must be at least %d", at.field, at.value, at.least)
		}
	}
	for _, at := range []struct {
		field string
		value time.Duration
		least time.Duration
	}{
		{"Wait", c.Wait, 0}, {"Forgive", c.Forgive, time.Second}, {"MaxDelay", c.MaxDelay, time.Second}, {"BanFor", c.BanFor, time.Second},
	} {
		if at.value < at.least {
			return fmt.Errorf("guard: %s is %v; it must be at least %v", at.field, at.value, at.least)
		}
	}
	if c.PerSecond > int(time.Second) || c.AddressPerSecond > int(time.Second) {
		return fmt.Errorf("guard: PerSecond is %d and AddressPerSecond %d; they must be at most %d", c.PerSecond, c.AddressPerSecond, int(time.Second))
	}
	for _, p := range c.Uncounted {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("guard: Uncounted has %v; write networks like 192.0.2.0/24 or 2001:db8::/32", p)
		}
	}
	return nil
}
