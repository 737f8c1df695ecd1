package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// pulledTags is how many images are pulled in parallel.
const pulledTags = 5

// diesDuringPulls: eu dies and comes back while customers pull with real clients,
// in different ways. No pull fails.
func diesDuringPulls(t *testing.T, s *several) {
	c, k := crane(t, s.Stack), skopeo(t, s.Stack)
	ann := login(t, s.Stack, email, secret)
	s.Forget()
	commands := func(i int) (run func() (string, error)) {
		tag := fmt.Sprintf("%d.0", i%pulledTags)
		reference := s.Host + "/" + replicated + ":" + tag
		switch i {
		case 0:
			return func() (string, error) { return ann.Run(t.Context(), "", "pull", reference) }
		case 1, 2, 3:
			to := fmt.Sprintf("dir:%s/%d", k.home, i)
			return func() (string, error) {
				return k.run(t, "", "copy", "--insecure-policy", "--src-tls-verify=false", "docker://"+reference, to)
			}
		}
		return func() (string, error) { return c.run(t, "", "validate", "--insecure", "--remote", reference) }
	}
	var died atomic.Bool
	var done sync.WaitGroup
	for i := range pullers {
		done.Go(func() {
			for over := false; !over; {
				over = died.Load() // so that a last one begins after it
				if out, err := commands(i)(); err != nil {
					t.Errorf("client %d: %v\n%s", i, err, out)
				}
			}
		})
	}
	for _, how := range []stack.Failure{stack.Errs, stack.Refuses} {
		time.Sleep(300 * time.Millisecond)
		mend, err := s.eu.Fail(how)
		if err != nil {
			t.Error(err)
		}
		time.Sleep(700 * time.Millisecond)
		if err := mend(); err != nil {
			t.Error(err)
		}
	}
	died.Store(true)
	done.Wait()
	if eu, us := s.eu.Front.Received(), s.us.Front.Received(); eu == 0 || us == 0 {
		t.Errorf("eu was asked %d times, and us %d times", eu, us)
	}
	if err := ann.Remove(t.Context(), s.Host+"/"+replicated+":0.0"); err != nil {
		t.Error(err)
	}
}

// unshown is what us must not serve, or cannot: by name, the path. Where us has it,
// eu has never shown it, or has withdrawn it.
func (s *several) unshown(t *testing.T) map[string]string {
	t.Helper()
	pushTo(t, s.eu, "acme/quiet:1.0") // which nobody asks eu for
	s.replicate(t, "acme/quiet")
	pushTo(t, s.us, replicated+":only-us")
	withdrawn, moved := s.withdraw(t), s.move(t)
	const here = "/v2/" + replicated
	return map[string]string{
		"tag that eu has not shown":               "/v2/acme/quiet/manifests/1.0",
		"digest that eu has not shown":            "/v2/acme/quiet/manifests/" + digestOf(t, "acme/quiet:1.0"),
		"layer that eu has not shown":             "/v2/acme/quiet/blobs/" + layerOf(t, "acme/quiet:1.0"),
		"tag that only us has":                    here + "/manifests/only-us",
		"digest that only us has":                 here + "/manifests/" + digestOf(t, replicated+":only-us"),
		"layer that only us has":                  here + "/blobs/" + layerOf(t, replicated+":only-us"),
		"withdrawn tag":                           here + "/manifests/withdrawn",
		"withdrawn digest":                        here + "/manifests/" + withdrawn,
		"withdrawn layer":                         here + "/blobs/" + layerOf(t, "withdrawn"),
		"moved tag, of which us has only the old": here + "/manifests/moved",
		"moved digest, which us does not have":    here + "/manifests/" + moved,
		"moved layer, which us does not have":     here + "/blobs/" + layerOf(t, "after"),
		"referrers":                               here + "/referrers/" + digestOf(t, replicated+":1.0"),
	}
}

// standsBy: while eu is dead, us serves what eu has shown. Everything else is an
// outage.
func standsBy(t *testing.T, s *several, unshown map[string]string) {
	mend, err := s.eu.Fail(stack.Refuses)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := mend(); err != nil {
			t.Error(err)
		}
	}()
	s.Forget()

	known, layer := digestOf(t, replicated+":1.0"), layerOf(t, replicated+":1.0")
	for _, r := range []struct {
		uri    string
		status int
		digest string
	}{
		{"/v2/" + replicated + "/manifests/1.0", 200, known},
		{"/v2/" + replicated + "/manifests/" + known, 200, known},
		{"/v2/" + replicated + "/blobs/" + layer, 307, layer},
		{"/v2/vendor/app/manifests/1.0", 200, digestOf(t, innerPrefix+"app:1.0")},
		{"/v2/vendor/app/blobs/" + layerOf(t, innerPrefix+"app:1.0"), 307, layerOf(t, innerPrefix+"app:1.0")},
	} {
		every(t, s.Stack, request{uri: r.uri}, func(sent request, a answer) {
			status := r.status
			if sent.method == http.MethodHead {
				status = http.StatusOK
			}
			// A redirect is nginx's own answer, and has no digest.
			if a.status != status || status == http.StatusOK && a.header.Get("Docker-Content-Digest") != r.digest {
				t.Errorf("%s %s %s: status %d, digest %s; want %d, %s: %s", sent.proto, sent.method, r.uri, a.status, a.header.Get("Docker-Content-Digest"), status, r.digest, a.body)
			}
			wantNoInnerName(t, r.uri, a)
		})
	}
	if n, on := s.us.Front.Received(), metric(t, s.Stack, "authsvc_upstream_on_standby", "eu"); n == 0 || on != "1" {
		t.Errorf("us was asked %d times, and the metric of eu's stand-by is %s", n, on)
	}
	for name, uri := range unshown {
		t.Run(name, func(t *testing.T) {
			every(t, s.Stack, request{uri: uri}, func(r request, a answer) { wantError(t, r, a, 503, "UNAVAILABLE") })
		})
	}
	if metric(t, s.Stack, "authsvc_upstream_standby_refused_total", "us") == "0" {
		t.Error("authsvc does not count what us must not serve")
	}
	wantStillClosed(t, s.Stack)
	s.standbysToken(t)
	s.bothDead(t)
}

// withdraw shows an image, and deletes it in eu. It returns its digest.
func (s *several) withdraw(t *testing.T) string {
	t.Helper()
	digest := pushImage(t, s.eu, replicated+":withdrawn", imageOf(t, "withdrawn"))
	s.replicate(t, replicated)
	tag, byDigest := "/v2/"+replicated+"/manifests/withdrawn", "/v2/"+replicated+"/manifests/"+digest
	for _, uri := range []string{tag, byDigest} {
		if a := get(t, s.Stack, uri); a.status != http.StatusOK {
			t.Fatalf("%s: status %d, want 200: %s", uri, a.status, a.body)
		}
	}
	if err := s.eu.Delete(t.Context(), replicated, digest); err != nil {
		t.Fatal(err)
	}
	s.Forget()
	waitFor(t, "authsvc to see that the image was withdrawn", func() bool {
		for _, uri := range []string{tag, byDigest} {
			if a := get(t, s.Stack, uri); a.status != http.StatusNotFound {
				t.Fatalf("%s, withdrawn: status %d, want 404: %s", uri, a.status, a.body)
			}
		}
		return slices.ContainsFunc(s.eu.Endpoint.Requests(), func(r standin.Request) bool { return r.URI == tag })
	})
	return digest
}

// move shows a tag, replicates it, and moves it in eu alone. It returns the new
// digest.
func (s *several) move(t *testing.T) string {
	t.Helper()
	pushImage(t, s.eu, replicated+":moved", imageOf(t, "before"))
	s.replicate(t, replicated)
	digest := pushImage(t, s.eu, replicated+":moved", imageOf(t, "after"))
	for _, uri := range []string{"/manifests/moved", "/blobs/" + layerOf(t, "after")} {
		if a := get(t, s.Stack, "/v2/"+replicated+uri); a.status >= 400 {
			t.Fatalf("%s: status %d: %s", uri, a.status, a.body)
		}
	}
	return digest
}

// standbysToken: us rejects its token, and gets another; eu does not.
func (s *several) standbysToken(t *testing.T) {
	t.Helper()
	eu, us := s.eu.ECR.TokensIssued(), s.us.ECR.TokensIssued()
	s.us.ECR.InvalidateTokens()
	r := request{uri: "/v2/" + replicated + "/manifests/1.0"}
	if a := send(t, s.Stack, r); a.status != http.StatusOK {
		t.Errorf("after us rejected its token: status %d: %s", a.status, a.body)
	}
	if eu, us = s.eu.ECR.TokensIssued()-eu, s.us.ECR.TokensIssued()-us; eu != 0 || us != 1 {
		t.Errorf("%d new tokens of eu and %d of us, want 0 and 1", eu, us)
	}
}

// bothDead: an outage, in the registry's words.
func (s *several) bothDead(t *testing.T) {
	t.Helper()
	mend, err := s.us.Fail(stack.Refuses)
	if err != nil {
		t.Fatal(err)
	}
	wantUnavailable(t, s.Stack, "/v2/"+replicated+"/manifests/1.0", "/v2/"+replicated+"/blobs/"+layerOf(t, replicated+":1.0"))
	if err := mend(); err != nil {
		t.Fatal(err)
	}
	if a := get(t, s.Stack, "/v2/"+replicated+"/manifests/1.0"); a.status != http.StatusOK {
		t.Errorf("us is back: status %d: %s", a.status, a.body)
	}
}
