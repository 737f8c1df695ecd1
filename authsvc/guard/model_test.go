package guard_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/guard"
)

// A model is the rules of counting and banning, told by a whole history that
// is read again for each question.
type model struct {
	config    guard.Config
	failures  map[string][]change // by address, and by address and user
	until     map[string]time.Time
	bans      map[string]time.Time
	wrong     map[string][]string // by address: credentials, the latest last
	customers map[string][]accepted
}

// A change of a count: +1 is a failure, -n takes back, and reset empties.
type change struct {
	at    time.Time
	by    int
	reset bool
}

type accepted struct {
	credential, subject string
	at                  time.Time
}

func newModel(config guard.Config) *model {
	return &model{config: config, failures: map[string][]change{}, until: map[string]time.Time{},
		bans: map[string]time.Time{}, wrong: map[string][]string{}, customers: map[string][]accepted{}}
}

// count replays the changes: a debt of time, which passes.
func (m *model) count(of string, most int) int {
	var debt time.Duration
	var last time.Time
	for _, c := range append(slices.Clone(m.failures[of]), change{at: time.Now()}) {
		debt, last = max(0, debt-c.at.Sub(last)), c.at
		switch {
		case c.reset:
			debt = 0
		case c.by < 0:
			debt = max(0, debt+time.Duration(c.by)*m.config.Forgive)
		case c.by > 0 && (debt+m.config.Forgive-1)/m.config.Forgive < time.Duration(most):
			debt += m.config.Forgive
		}
	}
	return int((debt + m.config.Forgive - 1) / m.config.Forgive)
}

func (m *model) shared(address string) bool {
	subjects := map[string]bool{}
	for _, c := range m.customers[address] {
		if time.Since(c.at) < 24*time.Hour {
			subjects[c.subject] = true
		}
	}
	return address == "none" || len(subjects) >= m.config.SharedCustomers
}

// limit is what a caller is told: "pass" or the limit.
func (m *model) limit(address, user, credential string) string {
	for _, c := range m.customers[address] {
		if c.credential == credential && time.Since(c.at) < 24*time.Hour {
			return "pass"
		}
	}
	whole, pair := time.Until(m.bans[address]), time.Until(m.bans[address+"/"+user])
	delay := time.Until(m.until[address+"/"+user])
	if m.shared(address) {
		whole = 0
	} else {
		delay = max(delay, time.Until(m.until[address]))
	}
	seconds := func(d time.Duration) string { return ((d + time.Second - 1) / time.Second * time.Second).String() }
	switch {
	case whole > 0:
		return "ban " + seconds(whole)
	case pair > 0:
		return "ban " + seconds(pair)
	case delay > 0:
		return "delay " + seconds(delay)
	}
	return "pass"
}

func (m *model) passed(address, credential, subject string) {
	list := slices.DeleteFunc(m.customers[address], func(c accepted) bool { return c.credential == credential })
	list = append(list, accepted{credential, subject, time.Now()})
	m.customers[address] = list[max(0, len(list)-2*m.config.SharedCustomers):]
}

func (m *model) accepted(address, user, credential string) {
	pair := address + "/" + user
	m.failures[address] = append(m.failures[address], change{at: time.Now(), by: -m.count(pair, m.config.Pair.Ban)})
	delete(m.failures, pair)
	delete(m.until, pair)
	m.wrong[address] = slices.DeleteFunc(m.wrong[address], func(c string) bool { return c == credential })
	m.passed(address, credential, user)
}

func (m *model) refused(address, user, credential string) {
	m.customers[address] = slices.DeleteFunc(m.customers[address], func(c accepted) bool { return c.credential == credential })
	again := slices.Contains(m.wrong[address], credential)
	list := append(slices.DeleteFunc(m.wrong[address], func(c string) bool { return c == credential }), credential)
	m.wrong[address] = list[max(0, len(list)-8):]
	if again {
		return
	}
	m.failed(address+"/"+user, m.config.Pair, false)
	m.failed(address, m.config.Address, m.shared(address))
}

func (m *model) failed(who string, at guard.Threshold, spare bool) {
	m.failures[who] = append(m.failures[who], change{at: time.Now(), by: 1})
	n := m.count(who, at.Ban)
	if n >= at.Ban {
		m.failures[who] = append(m.failures[who], change{at: time.Now(), reset: true})
		if !spare && !time.Now().Before(m.bans[who]) {
			m.bans[who] = time.Now().Add(m.config.BanFor)
		}
	} else if n > at.Free {
		delay := time.Second
		for range n - at.Free - 1 {
			delay = min(2*delay, m.config.MaxDelay)
		}
		if end := time.Now().Add(delay); end.After(m.until[who]) {
			m.until[who] = end
		}
	}
}

// active counts the bans in force of addresses and of pairs.
func (m *model) active() int {
	n := 0
	for _, end := range m.bans {
		if time.Now().Before(end) {
			n++
		}
	}
	return n
}

// TestModel lets random callers ask, and compares every answer.
func TestModel(t *testing.T) {
	addresses := []string{"192.0.2.1", "2001:db8::1", "198.51.100.1", "none"}
	rare := []time.Duration{time.Minute, 5 * time.Minute, 5 * time.Minute, 20 * time.Minute, 3 * time.Hour, 25 * time.Hour}
	seen := map[string]int{}
	for seed := range uint64(60) {
		change := func(c *guard.Config) {
			roomy(c)
			c.Address, c.Pair, c.SharedCustomers = guard.Threshold{Free: 4, Ban: 11}, guard.Threshold{Free: 2, Ban: 5}, 4
		}
		inWorld(t, change, func(w *world) {
			random := rand.New(rand.NewPCG(seed, 11))
			config := guard.Defaults()
			change(&config)
			m := newModel(config)
			for step := range 400 {
				address, user := addresses[random.IntN(len(addresses))], fmt.Sprint("user", random.IntN(6))
				secret := fmt.Sprint("secret", random.IntN(40))
				c, credential := from(address, user, secret), user+secret
				if address == "none" {
					c.Address = netip.Addr{}
				}
				time.Sleep(time.Duration(random.IntN(3)) * time.Second)
				if random.IntN(40) == 0 {
					time.Sleep(rare[random.IntN(len(rare))])
				}
				if random.IntN(40) == 0 {
					w.Passed(c, user)
					m.passed(address, credential, user)
					continue
				}
				want := m.limit(address, user, credential)
				answer := []string{user, outage, no}[min(random.IntN(25), 2)]
				if got := w.ask(c, answer); got != want {
					t.Fatalf("seed %d, step %d: %s at %s: %s, want %s", seed, step, user, address, got, want)
				}
				seen[want[:3]]++
				if want == "pass" && answer == user {
					m.accepted(address, user, credential)
				} else if want == "pass" && answer == no {
					m.refused(address, user, credential)
				}
				if step%20 > 0 {
					continue
				}
				if got := w.number("active_bans", "address") + w.number("active_bans", "pair"); got != m.active() {
					t.Fatalf("seed %d, step %d: %d bans, want %d", seed, step, got, m.active())
				}
			}
		})
	}
	for _, what := range []string{"pas", "del", "ban"} {
		if seen[what] < 100 {
			t.Errorf("too few answers to compare: %v", seen)
		}
	}
}
