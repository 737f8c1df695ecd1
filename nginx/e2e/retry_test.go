package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// quick lets a test refresh a token as often as it wants.
var quick = map[string]any{"control.min_interval": "0s"}

// TestExpiredTokenIsRenewed: each of ECR's ways to say "token expired" leads to one
// refresh and one retry, within the same client request.
func TestExpiredTokenIsRenewed(t *testing.T) {
	s := start(t, stack.Options{Interpose: true, Tokenrefresher: quick})
	digest := push(t, s, "acme/appliance:1.0")
	for name, rejection := range map[string]ecr.Rejection{
		"403 text": ecr.Forbidden403Text, "403 DENIED": ecr.Forbidden403Denied,
		"401": ecr.Unauthorized401, "403 text as JSON": ecr.Forbidden403TextAsJSON,
	} {
		t.Run(name, func(t *testing.T) {
			s.ECR.RejectWith(rejection)
			every(t, s, request{uri: manifest}, func(r request, _ answer) {
				s.ECR.InvalidateTokens()
				s.Forget()
				issued := s.ECR.TokensIssued()
				a := send(t, s, r)
				if a.status != 200 || a.header.Get("Docker-Content-Digest") != digest {
					t.Errorf("%s %s: status %d, want the manifest: %v", r.proto, r.method, a.status, a.header)
				}
				wantNoLeak(t, r.proto+" "+r.method, a)
				if a.header.Get("Www-Authenticate") != "" {
					t.Errorf("%s %s: a challenge on a 200: %q", r.proto, r.method, a.header)
				}
				if n := s.ECR.TokensIssued() - issued; n != 1 {
					t.Errorf("%s %s: %d refreshes, want 1", r.proto, r.method, n)
				}
				wantTwoTries(t, s)
			})
		})
	}
}

func wantTwoTries(t *testing.T, s *stack.Stack) {
	t.Helper()
	tries := 0
	for _, r := range s.ECR.Front.Requests() {
		if r.URI == manifest {
			tries++
		}
	}
	asked := s.Authsvc.Requests()
	if tries != 2 || len(asked) != 2 {
		t.Fatalf("%d tries at the registry, %d questions to authsvc; want 2 and 2", tries, len(asked))
	}
	if got := asked[0].Header.Get("X-Upstream-Rejected") + asked[0].Header.Get("X-Upstream-Rejected-Token"); got != "" {
		t.Errorf("the first question tells of a rejection: %q", got)
	}
	status, token := asked[1].Header.Get("X-Upstream-Rejected"), asked[1].Header.Get("X-Upstream-Rejected-Token")
	if status != "401" && status != "403" || token == "" {
		t.Errorf("the second question tells of a rejection by %q of the token %q", status, token)
	}
}

// TestRejectedTwice: if ECR refuses a new token too, that is an outage. A customer
// never sees ECR's own refusals.
func TestRejectedTwice(t *testing.T) {
	s := start(t, stack.Options{Tokenrefresher: quick})
	s.ECR.Front.Inject(s.ECR.DenyByIAM())
	every(t, s, request{uri: manifest}, func(r request, a answer) { wantError(t, r, a, 503, "UNAVAILABLE") })
	for _, name := range []string{"access", "authsvc"} {
		if strings.Contains(s.Log(name), "arn:aws") {
			t.Errorf("%s has ECR's words", name)
		}
	}
}

// TestRejectedWithoutTokenrefresher: nothing can renew the token.
func TestRejectedWithoutTokenrefresher(t *testing.T) {
	s := start(t, stack.Options{Tokenrefresher: quick})
	push(t, s, "acme/appliance:1.0")
	s.KillTokenrefresher()
	if a := get(t, s, manifest); a.status != 200 {
		t.Errorf("status %d, want 200: the token is good", a.status)
	}
	s.ECR.InvalidateTokens()
	r := request{uri: manifest}
	wantError(t, r, send(t, s, r), 503, "UNAVAILABLE")
	if err := s.StartTokenrefresher(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new token", func() bool { return get(t, s, manifest).status == http.StatusOK })
}

// TestTokenSizes: tokens of all sizes pass through the whole chain.
func TestTokenSizes(t *testing.T) {
	s := start(t, stack.Options{Tokenrefresher: quick})
	push(t, s, "acme/appliance:1.0")
	for _, size := range []int{100, 2400, 4800, 12 << 10} {
		s.ECR.SetTokenSize(size)
		s.ECR.InvalidateTokens()
		s.Forget()
		every(t, s, request{uri: manifest}, func(r request, a answer) {
			if a.status != 200 {
				t.Errorf("%d bytes, %s %s: status %d", size, r.proto, r.method, a.status)
			}
		})
		requests := s.ECR.Front.Requests()
		if got := len(requests[len(requests)-1].Header.Get("Authorization")); got < size {
			t.Errorf("the registry received an Authorization of %d bytes, want %d", got, size)
		}
	}
}

// TestChangedTokenIsTakenUp: authsvc uses a new token without a restart, and nginx
// needs no reload.
func TestChangedTokenIsTakenUp(t *testing.T) {
	s := start(t, stack.Options{Tokenrefresher: quick})
	push(t, s, "acme/appliance:1.0")
	used := func() string {
		s.Forget()
		if a := get(t, s, manifest); a.status != 200 {
			t.Fatalf("status %d, want 200", a.status)
		}
		return s.ECR.Front.Requests()[0].Header.Get("Authorization")
	}
	used()
	value, expires := s.ECR.IssueToken()
	token := tokenfile.Token{Host: s.ECR.Name(), Value: tokenfile.NewValue(value), FetchedAt: time.Now(), ExpiresAt: expires}
	if err := tokenfile.Write(s.TokenFile(), token); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new token to be used", func() bool { return used() == "Basic "+value })
	writeFile(t, s.TokenFile(), `{"version":1,"host":"`) // half of a file
	if got := used(); got != "Basic "+value {
		t.Errorf("after half a file another token is used")
	}
}
