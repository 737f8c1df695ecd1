package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/release/remote"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// file is a token file with a registry's token, or without one.
type file struct {
	host string
	err  error
}

func (f file) Current() (tokenfile.Token, error) {
	t := token("key", 1)
	t.Host = f.host
	return t, f.err
}

func (f file) Wait(context.Context, time.Time) (tokenfile.Token, error) {
	return tokenfile.Token{}, errors.New("no other token comes")
}

// fleet are three registries: eu, which has vendor/ as prod/, us, which stands by for it,
// and partner, which has partner/ as prod/, too.
type fleet struct {
	*remote.Registries
	fronts map[string]*front
}

func newFleet(t *testing.T, answer func(name string) http.HandlerFunc) *fleet {
	t.Helper()
	f := &fleet{fronts: map[string]*front{}}
	upstreams, clients := map[string]*upstream.Upstream{}, map[*upstream.Upstream]*remote.Client{}
	for _, name := range []string{"eu", "us", "partner"} {
		f.fronts[name] = serve(t, answer(name))
		u := upstream.New(file{host: name + "." + host}, upstream.Config{Name: name})
		upstreams[name] = u
		clients[u] = f.fronts[name].client(t, func(o *remote.Options) { o.Upstream = u })
	}
	f.Registries = remote.NewRegistries(upstream.NewRoutes(
		upstream.Route{Prefix: upstream.Prefix{Outer: "acme/", Inner: "acme/"}, First: upstreams["eu"], Standby: upstreams["us"]},
		upstream.Route{Prefix: upstream.Prefix{Outer: "vendor/", Inner: "prod/"}, First: upstreams["eu"], Standby: upstreams["us"]},
		upstream.Route{Prefix: upstream.Prefix{Outer: "partner/", Inner: "prod/"}, First: upstreams["partner"]},
	), clients)
	return f
}

// askAll asks every question about a repository, and returns the errors.
func (f *fleet) askAll(t *testing.T, repository string) []error {
	_, placed := f.Place(repository)
	_, tags := f.Tags(t.Context(), repository)
	_, resolved := f.Resolve(t.Context(), repository, "1.0")
	_, fetched := f.Manifest(t.Context(), repository, "1.0")
	_, referred := f.Referrers(t.Context(), repository, digestOf("x"))
	return []error{placed, tags, resolved, fetched, referred}
}

// TestRegistries: each is asked about its own repositories, under its name for them; a
// stand-by about none.
func TestRegistries(t *testing.T) {
	f := newFleet(t, func(string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/tags/list"):
				_, _ = io.WriteString(w, `{"tags":["1.0"]}`)
			case strings.Contains(r.URL.Path, "/referrers/"):
				_, _ = io.WriteString(w, `{"manifests":[]}`)
			default:
				manifests(map[string]string{"1.0": "x"})(w, r)
			}
		}
	})
	for _, test := range []struct{ repository, registry, inner string }{
		{"acme/app", "eu", "acme/app"}, {"vendor/app", "eu", "prod/app"}, {"vendor/vendor/app", "eu", "prod/vendor/app"}, {"partner/app", "partner", "prod/app"},
	} {
		before := map[string]int{}
		for name, front := range f.fronts {
			before[name] = len(front.questions())
		}
		if err := errors.Join(f.askAll(t, test.repository)...); err != nil {
			t.Errorf("%s: %v", test.repository, err)
		}
		if place, _ := f.Place(test.repository); place != (release.Place{Registry: test.registry, Host: test.registry + "." + host, Repository: test.inner}) {
			t.Errorf("%s is at %v", test.repository, place)
		}
		for name, front := range f.fronts {
			asked := front.questions()[before[name]:]
			of := func(question string) bool { return strings.Contains(question, " /v2/"+test.inner+"/") }
			if name == test.registry && len(asked) != 4 || name != test.registry && len(asked) != 0 || slices.ContainsFunc(asked, func(q string) bool { return !of(q) }) {
				t.Errorf("%s: %s was asked %q", test.repository, name, asked)
			}
		}
	}
	for _, repository := range []string{"other/app", "prod/app", "vendor", ""} {
		for _, err := range f.askAll(t, repository) {
			if !errors.Is(err, release.ErrNotFound) {
				t.Errorf("%s: %v, want that it does not exist", repository, err)
			}
		}
	}
}

// TestRegistryWithoutToken: it is not known which registry it is, which is an outage.
func TestRegistryWithoutToken(t *testing.T) {
	gone := errors.New("no file yet")
	u := upstream.New(file{err: gone}, upstream.Config{Name: "eu"})
	c, err := remote.New(remote.Options{Upstream: u})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Registries: remote.NewRegistries(upstream.NewRoutes(upstream.Route{First: u}), map[*upstream.Upstream]*remote.Client{u: c})}
	for _, err := range f.askAll(t, "acme/app") {
		if !errors.Is(err, gone) {
			t.Errorf("got %v", err)
		}
	}
}

// TestDigestsAreApart: the same image in two registries, in repositories that have the
// same name there. What opens it in one says nothing of the other.
func TestDigestsAreApart(t *testing.T) {
	layer := digestOf("layer")
	image := fmt.Sprintf(`{"schemaVersion":2,"layers":[{"digest":%q}]}`, layer)
	f := newFleet(t, func(name string) http.HandlerFunc {
		tag := map[string]string{"eu": "1.0", "partner": "2.0"}[name]
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/tags/list") {
				_, _ = fmt.Fprintf(w, `{"tags":[%q]}`, tag)
				return
			}
			manifests(map[string]string{tag: image, digestOf(image): image})(w, r)
		}
	})
	releases := release.New(release.Options{Source: f.Registries, NoReferrers: true, Timeout: time.Minute})
	defer releases.Close()
	for range 2 { // before and after the other one is known
		for _, test := range []struct{ repository, want, found string }{
			{"vendor/app", "1.0", "1.0"}, {"partner/app", "1.0", ""}, {"partner/app", "2.0", "2.0"}, {"vendor/app", "2.0", ""}, {"acme/app", "2.0", ""},
		} {
			for _, digest := range []string{layer, digestOf(image)} {
				found, err := releases.Find(t.Context(), test.repository, digest, oneTag(test.want))
				if found.Tag != test.found || err != nil {
					t.Errorf("%s in %s is found by %q, %v; want %q", digest, test.repository, found.Tag, err, test.found)
				}
			}
		}
	}
	if asked := f.fronts["us"].questions(); len(asked) != 0 {
		t.Errorf("the stand-by was asked %q", asked)
	}
}

// oneTag is a set of one.
type oneTag string

func (o oneTag) Match(tag string) bool { return tag == string(o) }
func (o oneTag) Key() string           { return string(o) }

func TestTroubles(t *testing.T) {
	f := newFleet(t, func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if name == "eu" {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, `{"tags":["1.0"]}`)
		}
	})
	if troubles := f.Troubles(); len(troubles) != 0 {
		t.Errorf("at first: %q", troubles)
	}
	for range 20 {
		_, _ = f.Tags(t.Context(), "vendor/app")
		_, _ = f.Tags(t.Context(), "partner/app")
	}
	if troubles := f.Troubles(); len(troubles) != 1 || troubles[0] != "eu: the registry fails authsvc's own requests; known digests are served" {
		t.Errorf("got %q", troubles)
	}
	if _, err := f.Tags(t.Context(), "partner/app"); err != nil {
		t.Errorf("another registry: %v", err)
	}
}
