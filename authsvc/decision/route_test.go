package decision_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/upstream"
)

const pinned = "sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"

// manifests are what registries have: 1.0 has gone, 1.1 is of schema 1, 1.2 cannot be
// asked for, and all others are pinned. Of 1.4, 1.1, and the layer it is shown what they
// had. What 1.9 has is from before its registry failed.
type manifests struct{ asked *int }

func (m manifests) Pin(_ context.Context, r registry.Request) (registry.Pinned, error) {
	*m.asked++
	switch r.Reference.Tag {
	case "1.0":
		return registry.Pinned{}, nil
	case "1.1":
		return registry.Pinned{Digest: pinned, Schema1: true}, nil
	case "1.2":
		return registry.Pinned{}, errDown
	}
	return registry.Pinned{Digest: pinned, Stale: r.Reference.Tag == "1.9"}, nil
}

func (manifests) Shown(r registry.Request) (digest string, schema1, ok bool) {
	if r.Reference.Digest == layer {
		return layer, false, true
	}
	return pinned, r.Reference.Tag == "1.1", r.Reference.Tag == "1.1" || r.Reference.Tag == "1.4"
}

// A fleet is registries: eu, for which us stands by, and partner.
type fleet struct {
	*decision.Decider
	eu, us  *keys
	now     time.Time
	numbers *prometheus.Registry
	asked   int // how often a manifest was pinned
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{eu: &keys{host: "eu.example"}, us: &keys{host: "us.example"}, now: time.Unix(100, 0), numbers: prometheus.NewRegistry()}
	logger := slog.New(slog.DiscardHandler)
	now := func() time.Time { return f.now }
	eu := upstream.New(f.eu, upstream.Config{Name: "eu", Timeout: time.Second, Logger: logger, Now: now})
	us := upstream.New(f.us, upstream.Config{Name: "us", Timeout: time.Second, Logger: logger, Now: now})
	partner := (&keys{host: "partner.example"}).registry("partner")
	route := func(first, standby *upstream.Upstream, outer, inner string) upstream.Route {
		return upstream.Route{Prefix: upstream.Prefix{Outer: outer, Inner: inner}, First: first, Standby: standby}
	}
	f.Decider = decider(t, &keys{})
	f.Manifests = manifests{&f.asked}
	f.Routes = upstream.NewRoutes(route(eu, us, "acme/same/", "acme/same/"), route(eu, us, "acme/", "prod-eu/"), route(partner, nil, "acme/partner/", "acme/partner/"))
	f.Authenticator = customers{"ann": {Subject: "ann@acme.example", User: "ann", Grants: grants(t, "acme/*/*", "1.*", "acme/*", "1.*", "other/*", "1.*")}}
	f.Routes.Register(f.numbers)
	return f
}

// What has happened to eu before a request.
func fine(*fleet)      {}
func noToken(f *fleet) { f.eu.err = errDown }
func fails(f *fleet) {
	for range 5 {
		f.Routes.Failed("eu.x", "502")
	}
}

// The requests that nginx may make for a request of a client.
func first(*decision.Question) {}
func failed(by string) func(*decision.Question) {
	return func(q *decision.Question) { q.Failed, q.TokenID = "504", by }
}
func rejected(by string) func(*decision.Question) {
	return func(q *decision.Question) { q.Retry, q.TokenID = true, by+".old" }
}

// TestRoute has who serves what, by which path, as "REGISTRY PATH". A star is a registry
// that another one can stand in for, a plus one that stands in.
func TestRoute(t *testing.T) {
	const (
		same, renamed = "/v2/acme/same/a", "/v2/acme/a"
		inner         = "/v2/prod-eu/a"
		notShown      = "unavailable: the registry fails, and had not shown this content, so its stand-by must not serve it"
		bothFail      = "unavailable: the registry fails, and so does its stand-by"
		old           = "manifest_unknown: this image has a manifest of Docker's old schema 1, which cannot be served here; ask the vendor to push it again with a current client"
		ns            = "?ns=docker.vendor.com"
	)
	for _, test := range []struct {
		name  string
		eu    func(*fleet)
		asks  func(*decision.Question)
		uri   string
		want  string
		asked int // manifests pinned
	}{
		{"tag", fine, first, same + "/manifests/1.4" + ns, "eu*", 0},
		{"digest", fine, first, same + "/manifests/" + layer, "eu*", 0},
		{"blob", fine, first, same + "/blobs/" + layer, "eu*", 0},
		{"referrers", fine, first, same + "/referrers/" + layer, "eu*", 0},
		{"schema 1", fine, first, same + "/manifests/1.1", "eu*", 0},
		{"without a stand-by", fine, first, "/v2/acme/partner/a/manifests/1.4", "partner", 0},
		{"ping", fine, first, "/v2/", "", 0},
		{"no route", fine, first, "/v2/other/a/manifests/1.4", "name_unknown: repository other/a does not exist or is not part of your license", 0},
		{"no route to a layer", fine, first, "/v2/other/a/blobs/" + layer, "name_unknown: repository other/a does not exist or is not part of your license", 0},
		{"not licensed, no route", fine, first, "/v2/other/a/manifests/2.0", "manifest_unknown: other/a:2.0 does not exist or is not part of your license", 0},

		{"renamed tag", fine, first, renamed + "/manifests/1.4", "eu* " + inner + "/manifests/" + pinned, 1},
		{"renamed, with a query", fine, first, renamed + "/manifests/1.4" + ns, "eu* " + inner + "/manifests/" + pinned + ns, 1},
		{"renamed, with an empty query", fine, first, renamed + "/manifests/1.4?", "eu* " + inner + "/manifests/" + pinned, 1},
		{"renamed digest", fine, first, renamed + "/manifests/" + layer, "eu* " + inner + "/manifests/" + pinned, 1},
		{"renamed blob", fine, first, renamed + "/blobs/" + layer + ns, "eu* " + inner + "/blobs/" + layer + ns, 0},
		{"renamed referrers", fine, first, renamed + "/referrers/" + layer + "?artifactType=a%2Fb", "eu* " + inner + "/referrers/" + layer + "?artifactType=a%2Fb", 0},
		{"renamed, no such tag", fine, first, renamed + "/manifests/1.0", "manifest_unknown: acme/a:1.0 does not exist or is not part of your license", 1},
		{"renamed, schema 1", fine, first, renamed + "/manifests/1.1", old, 1},
		{"renamed, in an outage", fine, first, renamed + "/manifests/1.2", "eu* unavailable: " + errDown.Error(), 1},

		{"tag of one that fails", fine, failed("eu.x"), same + "/manifests/1.4" + ns, "us+ " + same + "/manifests/" + pinned + ns, 0},
		{"digest of one that fails", fine, failed("eu.x"), same + "/manifests/" + layer, "us+", 0},
		{"blob of one that fails", fine, failed("eu.x"), same + "/blobs/" + layer, "us+", 0},
		{"schema 1 of one that fails", fine, failed("eu.x"), same + "/manifests/1.1", "us+ " + same + "/manifests/" + pinned, 0},
		{"not shown", fine, failed("eu.x"), same + "/manifests/1.5", "us+ " + notShown, 0},
		{"referrers of one that fails", fine, failed("eu.x"), same + "/referrers/" + layer, "us+ " + notShown, 0},
		{"renamed tag of one that fails", fine, failed("eu.x"), renamed + "/manifests/1.4", "us+ " + inner + "/manifests/" + pinned, 0},
		{"renamed blob of one that fails", fine, failed("eu.x"), renamed + "/blobs/" + layer + ns, "us+ " + inner + "/blobs/" + layer + ns, 0},
		{"renamed, schema 1 of one that fails", fine, failed("eu.x"), renamed + "/manifests/1.1", "us+ " + notShown, 0},
		{"renamed, not shown", fine, failed("eu.x"), renamed + "/manifests/1.5", "us+ " + notShown, 0},
		{"both fail", fine, failed("us.x"), same + "/manifests/1.4", bothFail, 0},
		{"a registry fails that it was not forwarded to", fine, failed("partner.x"), same + "/manifests/1.4", "us+ " + same + "/manifests/" + pinned, 0},
		{"one without a name fails", fine, failed(""), same + "/manifests/1.4", "us+ " + same + "/manifests/" + pinned, 0},
		{"one fails that nobody stands by for", fine, failed("partner.x"), "/v2/acme/partner/a/manifests/1.4", "unavailable: the registry fails, and no other one stands by for it", 0},
		{"a list of one that fails", fine, failed("eu.x"), same + "/tags/list", "unsupported: listing is not supported here", 0},
		{"not licensed, of one that fails", fine, failed("eu.x"), same + "/manifests/2.0", "manifest_unknown: acme/same/a:2.0 does not exist or is not part of your license", 0},

		{"tag while it fails", fails, first, same + "/manifests/1.4", "us+ " + same + "/manifests/" + pinned, 0},
		{"blob while it fails", fails, first, same + "/blobs/" + layer, "us+", 0},
		{"not shown while it fails", fails, first, same + "/manifests/1.5", "eu*", 0},
		{"referrers while it fails", fails, first, same + "/referrers/" + layer, "eu*", 0},
		{"renamed tag while it fails", fails, first, renamed + "/manifests/1.4", "us+ " + inner + "/manifests/" + pinned, 0},
		{"renamed, not shown while it fails", fails, first, renamed + "/manifests/1.5", "eu* " + inner + "/manifests/" + pinned, 1},
		{"renamed, schema 1 while it fails", fails, first, renamed + "/manifests/1.1", old, 1},
		{"another registry while it fails", fails, first, "/v2/acme/partner/a/manifests/1.4", "partner", 0},

		{"tag without a token", noToken, first, same + "/manifests/1.4", "us+ " + same + "/manifests/" + pinned, 0},
		{"not shown without a token", noToken, first, same + "/manifests/1.5", "eu* unavailable: " + errDown.Error(), 0},

		{"the token is rejected", fine, rejected("eu"), same + "/manifests/1.4", "eu*", 0},
		{"the token is rejected while it fails", fails, rejected("eu"), same + "/manifests/1.4", "eu*", 0},
		{"the token of nobody is rejected", fine, rejected("x"), same + "/manifests/1.4", "eu*", 0},
		{"renamed, the token is rejected", fine, rejected("eu"), renamed + "/manifests/1.4", "eu* " + inner + "/manifests/" + pinned, 1},
		{"the stand-by's token is rejected", fails, rejected("us"), same + "/manifests/1.4", "us+ " + same + "/manifests/" + pinned, 0},
		{"the stand-by's token is rejected, and the first is back", fine, rejected("us"), same + "/blobs/" + layer, "us+", 0},
		{"the stand-by's token is rejected, for what is not shown any more", fails, rejected("us"), same + "/manifests/1.5", "us+ " + notShown, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			test.eu(f)
			q := question(test.uri, "ann:t0ken")
			test.asks(&q)
			got := f.Forward(t.Context(), q, nil)
			isOne(t, got)
			if text := served(got); text != test.want || f.asked != test.asked {
				t.Errorf("got  %s, %d asked\nwant %s, %d", text, f.asked, test.want, test.asked)
			}
			if host := got.Token.Host; got.Allowed() && got.Upstream != nil && host != got.Upstream.Name()+".example" || !got.Allowed() && host != "" {
				t.Errorf("the key is one to %q", host)
			}
			if strings.Contains(got.Reason(), "prod-eu") || got.Answer() != nil && strings.Contains(got.Answer().Message, "prod-eu") {
				t.Errorf("it shows the inner name: %s", got.Reason())
			}
		})
	}
}

// served is who serves a request, and how; or why nobody does.
func served(o decision.Outcome) string {
	text := name(o.Upstream)
	if o.Spare {
		text += "*"
	}
	if o.Standby {
		text += "+"
	}
	if !o.Allowed() {
		if o.Refusal != nil {
			text = "" // who has refused it is the log's
		}
		return strings.TrimSpace(text + " " + o.Word() + ": " + o.Reason())
	}
	return strings.TrimSpace(text + " " + o.Path)
}

// TestStandbyWithoutToken: that is an outage.
func TestStandbyWithoutToken(t *testing.T) {
	f := newFleet(t)
	f.us.err = errDown
	q := question("/v2/acme/same/a/manifests/1.4", "ann:t0ken")
	failed("eu.x")(&q)
	if got := f.Forward(t.Context(), q, nil); !errors.Is(got.Err, errDown) || got.Token.Host != "" {
		t.Errorf("%s with a key to %s", served(got), got.Token.Host)
	}
}

// TestFailureIsNoted, whatever is decided: nginx says it once.
func TestFailureIsNoted(t *testing.T) {
	for _, test := range []struct{ uri, userPass string }{
		{"/v2/acme/same/a/manifests/1.4", "ann:t0ken"}, {"/v2/acme/same/a/manifests/1.5", "ann:t0ken"}, {"/v2/acme/same/a/manifests/1.4", "ann:wrong"},
		{"/v2/acme/same/a/manifests/1.4", "down:t0ken"}, {"/v2/acme/same/a/manifests/2.0", "ann:t0ken"}, {"/v2/acme/down/blobs/" + layer, "ann:t0ken"},
	} {
		f := newFleet(t)
		q := question(test.uri, test.userPass)
		failed("eu.x")(&q)
		for range 5 {
			f.Forward(t.Context(), q, nil)
		}
		if troubles := f.Routes.Troubles(); len(troubles) != 1 || troubles[0] != "registry eu fails, and its stand-by serves what is known" {
			t.Errorf("%s by %s: troubles %q", test.uri, test.userPass, troubles)
		}
		families, err := f.numbers.Gather()
		if err != nil {
			t.Fatal(err)
		}
		counted := 0.0
		for _, family := range families {
			for _, m := range family.GetMetric() {
				if family.GetName() == "authsvc_nginx_registry_failures_total" {
					counted += m.GetCounter().GetValue()
				}
			}
		}
		if counted != 5 {
			t.Errorf("%s by %s: %g failures are counted", test.uri, test.userPass, counted)
		}
	}
}

// TestPeekTakesNoTurn: on trial, a registry gets a request a second. An explanation is
// none.
func TestPeekTakesNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		fails(f)
		ask := func(peek bool) string {
			d := *f.Decider
			d.Peek = peek
			return served(d.Forward(t.Context(), question("/v2/acme/same/a/blobs/"+layer, "ann:t0ken"), nil))
		}
		f.now = f.now.Add(5 * time.Second)
		if got := ask(false); got != "us+" {
			t.Errorf("before the trial: %s", got)
		}
		synctest.Wait()
		for range 3 {
			if got := ask(true); got != "us+" {
				t.Errorf("a peek on trial: %s", got)
			}
		}
		if got := ask(false) + " " + ask(false); got != "eu* us+" {
			t.Errorf("on trial: %s", got)
		}
	})
}

// TestRouteIsTraced: a trace tells who serves, and by which path.
func TestRouteIsTraced(t *testing.T) {
	for _, test := range []struct{ uri, want string }{
		{"/v2/acme/a/manifests/1.4", "parse entitle route eu* /v2/prod-eu/a/manifests/" + pinned + " key eu.example"},
		{"/v2/acme/a/manifests/1.0", "parse entitle route manifest_unknown: acme/a:1.0 does not exist or is not part of your license"},
		{"/v2/other/a/manifests/1.4", "parse entitle route name_unknown: repository other/a does not exist or is not part of your license"},
	} {
		var got []string
		newFleet(t).Forward(t.Context(), question(test.uri, "ann:t0ken"), func(f decision.Finding) {
			switch f.Step {
			case decision.Authenticate:
			case decision.Route:
				got = append(got, string(f.Step), served(f.Outcome))
			case decision.Key:
				got = append(got, string(f.Step), f.Outcome.Token.Host)
			default:
				got = append(got, string(f.Step))
			}
		})
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("got  %s\nwant %s", text, test.want)
		}
	}
}
