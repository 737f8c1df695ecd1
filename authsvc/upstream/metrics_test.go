package upstream_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/authsvc/upstream"
)

// numbersOf are the metrics of routes, each with its labels in their order.
func numbersOf(t *testing.T, routes *upstream.Routes) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	routes.Register(r)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			numbers[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = cmp.Or(m.GetGauge().GetValue(), m.GetCounter().GetValue())
		}
	}
	return numbers
}

// TestMetrics: each registry has the metrics of its roles, from the start, and no others.
func TestMetrics(t *testing.T) {
	forever, passing := newSource(token("x", fetched)), token("x", fetched)
	passing.ExpiresAt = fetched.Add(time.Hour + 250*time.Millisecond)
	now := func() time.Time { return fetched }
	eu := upstream.New(newSource(passing), upstream.Config{Name: "eu", Now: now})
	us := upstream.New(forever, upstream.Config{Name: "us"})
	partner := registry("partner", errors.New("no file yet"))
	routes := upstream.NewRoutes(route(eu, us, "a/"), route(us, nil, "b/"), route(partner, us, "c/"))
	want := map[string]float64{}
	for _, name := range []string{"eu", "us", "partner"} {
		for _, status := range []string{"502", "504", "other"} {
			want[fmt.Sprintf("authsvc_nginx_registry_failures_total{status=%q,upstream=%q}", status, name)] = 0
		}
		want[fmt.Sprintf(`authsvc_upstream_forwarded_total{role="first",upstream=%q}`, name)] = 0
	}
	maps.Copy(want, map[string]float64{
		`authsvc_upstream_forwarded_total{role="standby",upstream="us"}`:      0,
		`authsvc_upstream_standby_refused_total{upstream="us"}`:               0,
		`authsvc_upstream_on_standby{upstream="eu"}`:                          0,
		`authsvc_upstream_on_standby{upstream="partner"}`:                     1, // it has no token
		`authsvc_upstream_token_expiry_timestamp_seconds{upstream="eu"}`:      float64(fetched.Unix()) + 3600.25,
		`authsvc_upstream_token_expiry_timestamp_seconds{upstream="us"}`:      math.Inf(1),
		`authsvc_upstream_token_expiry_timestamp_seconds{upstream="partner"}`: 0,
	})
	compare := func(when string) {
		t.Helper()
		if got := numbersOf(t, routes); !maps.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", when, got, want)
		}
	}
	compare("at the start")
	eu.NoteForwarded(false)
	us.NoteForwarded(false)
	us.NoteForwarded(true)
	us.NoteForwarded(true)
	us.NoteNotShown()
	for _, status := range []string{"502", "504", "500", "502\n", "502, 504", ""} {
		routes.Failed(us.TokenID(token("x", fetched)), status)
	}
	maps.Copy(want, map[string]float64{
		`authsvc_upstream_forwarded_total{role="first",upstream="eu"}`:        1,
		`authsvc_upstream_forwarded_total{role="first",upstream="us"}`:        1,
		`authsvc_upstream_forwarded_total{role="standby",upstream="us"}`:      2,
		`authsvc_upstream_standby_refused_total{upstream="us"}`:               1,
		`authsvc_nginx_registry_failures_total{status="502",upstream="us"}`:   1,
		`authsvc_nginx_registry_failures_total{status="504",upstream="us"}`:   1,
		`authsvc_nginx_registry_failures_total{status="other",upstream="us"}`: 4,
	})
	compare("afterwards")
}

// TestLog: an outage brings a report for each request; its log stays readable, and shows
// nothing that nginx was sent.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	now := fetched
	config := upstream.Config{Name: "eu", Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now }}
	eu := upstream.New(newSource(token("x", fetched)), config)
	routes := upstream.NewRoutes(route(eu, registry("us", nil), ""))
	for range 100 {
		routes.Failed("eu.x", "t0ken")
	}
	for _, want := range []string{
		`level=WARN msg="nginx cannot reach the registry" upstream=eu status=other`,
		`level=WARN msg="the registry fails; its stand-by serves what is known" upstream=eu status=other`,
	} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("%s: %d lines", want, n)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 || strings.Contains(log.String(), "t0ken") {
		t.Errorf("found\n%s", &log)
	}
	want := "registry eu fails, and its stand-by serves what is known"
	if troubles := routes.Troubles(); len(troubles) != 1 || troubles[0] != want {
		t.Errorf("troubles %q, want %q", troubles, want)
	}
}
