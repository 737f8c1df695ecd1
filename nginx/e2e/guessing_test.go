package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// account is one with a license for acme/*, in every tag.
func account(email string) vendorapi.Account {
	return vendorapi.Account{Email: email, Licenses: []vendorapi.License{license("lic_1", "acme/*", "*")}}
}

// guessing is a stack behind a balancer that bans after four failures of an
// address, of which the second and the third bring a delay.
func guessing(t *testing.T) *stack.Stack {
	t.Helper()
	s := start(t, stack.Options{
		Server:  behindBalancer,
		Authsvc: map[string]any{"guard.failures": 4, "kloudless.account.verify_email": true},
	})
	push(t, s, "acme/appliance:1.0")
	return s
}

// ping is a login: each with another wrong credential for another i.
func ping(i int) request {
	return request{method: http.MethodGet, uri: "/v2/", user: fmt.Sprintf("user%d@acme.example", i), password: fmt.Sprint("guess-", i)}
}

// guess guesses, as patiently as it is told to, until a ban. It returns the
// answer that told of that.
func guess(t *testing.T, s *stack.Stack, from func(request) request) answer {
	t.Helper()
	for i := range 20 {
		r := from(ping(i))
		a := send(t, s, r)
		if a.status == http.StatusUnauthorized {
			wantError(t, r, a, 401, "UNAUTHORIZED")
			continue
		}
		wantError(t, r, a, 429, "TOOMANYREQUESTS")
		wait := retryAfter(t, a)
		if wait > time.Minute { // longer than any delay
			return a
		}
		time.Sleep(wait)
	}
	t.Fatal("20 guesses led to no ban")
	return answer{}
}

func retryAfter(t *testing.T, a answer) time.Duration {
	t.Helper()
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		t.Fatalf("Retry-After %q, want a number of seconds", a.header.Get("Retry-After"))
	}
	return time.Duration(seconds) * time.Second
}

// TestGuessing: who guesses is delayed and then banned, in the registry's
// words, and learns nothing from it. Who was a customer there before stays one.
func TestGuessing(t *testing.T) {
	s := guessing(t)
	const office = "198.51.100.20"
	from := func(r request) request { return r.from(office) }
	pull := from(request{method: http.MethodGet, uri: manifest})
	elsewhere := request{method: http.MethodGet, uri: manifest}.from("198.51.100.21")
	s.Vendor.SetAccount("bobs-token", account("bob@acme.example"))
	bob := from(request{method: http.MethodGet, uri: manifest, user: "bob@acme.example", password: "bobs-token"})

	if a := send(t, s, pull); a.status != 200 {
		t.Fatalf("before the guesses: status %d", a.status)
	}
	told := guess(t, s, from)
	asked := s.Vendor.TLS.Received()
	for _, r := range []request{bob, from(ping(1)), from(ping(100)), from(request{method: http.MethodGet, uri: tagsList, user: email, password: "guess"})} {
		a := send(t, s, r)
		wantError(t, r, a, 429, "TOOMANYREQUESTS")
		if a.withoutID() != told.withoutID() || retryAfter(t, a) > retryAfter(t, told) {
			t.Errorf("%s is told %s after %s, another guess %s after %s", r.user, a.body, a.header.Get("Retry-After"), told.body, told.header.Get("Retry-After"))
		}
	}
	if n := s.Vendor.TLS.Received() - asked; n != 0 {
		t.Errorf("a banned address made %d calls to the vendor's API", n)
	}
	for _, r := range []request{pull, elsewhere} {
		every(t, s, r, func(r request, a answer) {
			if a.status != 200 {
				t.Errorf("%s %s: a known customer got %d", r.proto, r.method, a.status)
			}
		})
	}
	// The address that the guesser claimed to be, and the one of the balancer.
	for _, r := range []request{request{method: http.MethodGet, uri: manifest}.from(victim), {method: http.MethodGet, uri: manifest}, ping(200).from(victim)} {
		if a := send(t, s, r); a.status != 200 && a.status != 401 {
			t.Errorf("another address: status %d", a.status)
		}
	}
	if metrics := fetch(t, s.AuthsvcURL()+"/metrics").body; !strings.Contains(metrics, "authsvc_guard_active_bans{scope=\"address\",source=\"kloudless\"} 1\n") {
		t.Error("the metrics do not tell of one ban")
	}
	if log := readFile(t, s.LogFile("authsvc")); strings.Count(log, "address banned") != 1 || strings.Contains(log, "guess-") || strings.Contains(log, "user1@") {
		t.Error("expected one line about the ban in the log, and nothing of what was guessed")
	}
}

// TestWhatIsNoGuess never counts: a question without a credential, an e-mail
// that is not the token's, a refusal for lack of a license, an outage, and the
// same wrong credential again.
func TestWhatIsNoGuess(t *testing.T) {
	s := guessing(t)
	s.Vendor.SetAccount("carols-token", account("carol@acme.example"))
	const office = "198.51.100.30"
	wrong := ping(0)
	for name, test := range map[string]struct {
		request
		status int
	}{
		"no credential":  {request{uri: "/v2/", anonymous: true}, 401},
		"no Basic":       {request{uri: "/v2/", anonymous: true, header: []string{"Authorization: Bearer x"}}, 401},
		"wrong account":  {request{uri: "/v2/", user: "dan@acme.example", password: "carols-token"}, 401},
		"not licensed":   {request{uri: "/v2/other/appliance/manifests/1.0"}, 404},
		"the same again": {wrong, 401},
	} {
		for range 30 {
			if a := send(t, s, test.from(office)); a.status != test.status {
				t.Fatalf("%s: status %d, want %d", name, a.status, test.status)
			}
		}
	}
	// One failure so far. The second is told as such, and brings a delay.
	second, third := ping(1).from(office), ping(2).from(office)
	wantError(t, second, send(t, s, second), 401, "UNAUTHORIZED")
	wantError(t, third, send(t, s, third), 429, "TOOMANYREQUESTS")
}

// TestCraneShowsALimit: what a person reads who guesses.
func TestCraneShowsALimit(t *testing.T) {
	s := guessing(t)
	guess(t, s, func(r request) request { return r })
	c := crane(t, s)
	out, err := c.run(t, "", "manifest", s.Host+"/acme/appliance:1.0")
	if err == nil || !strings.Contains(out, "TOOMANYREQUESTS") || !strings.Contains(out, "too many failed logins") {
		t.Errorf("crane says %v:\n%s", err, out)
	}
}
