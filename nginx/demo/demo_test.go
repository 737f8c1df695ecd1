package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

func TestReadable(t *testing.T) {
	for _, tt := range []struct{ name, out, want string }{
		{"advice", "\nWARNING! Your credentials are stored unencrypted in '/x'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\nLogin Succeeded\n", "Login Succeeded"},
		{"old advice", "WARNING! Your password will be stored unencrypted in /x.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/engine/reference/commandline/login/#credentials-store\n\nLogin Succeeded", "Login Succeeded"},
		{"steps", "1.4: Pulling from vendor/appliance\na51b6a4fa942: Pulling fs layer\na51b6a4fa942: Verifying Checksum\na51b6a4fa942: Download complete\na51b6a4fa942: Pull complete\nDigest: sha256:7a", "1.4: Pulling from vendor/appliance\na51b6a4fa942: Pull complete\nDigest: sha256:7a"},
		{"a refusal stays whole", "Error response from daemon: denied: WARNING! Your license expired", "Error response from daemon: denied: WARNING! Your license expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := readable(tt.out); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	day := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	releases := []vendorapi.Release{{Repository: "a/b", Tags: []string{"1.*", "latest"}}}
	for _, tt := range []struct {
		name    string
		license vendorapi.License
		want    string
	}{
		{"for ever", vendorapi.License{ID: "l", Releases: releases}, "l: a/b, tags 1.* and latest"},
		{"expired", vendorapi.License{ID: "l", Releases: releases, Expiration: day}, "l: a/b, tags 1.* and latest, expired on 2001-02-03"},
		{"good", vendorapi.License{ID: "l", Releases: releases, Expiration: day.AddDate(1000, 0, 0)}, "l: a/b, tags 1.* and latest, until 3001-02-03"},
	} {
		if got := describe(tt.license); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestShowTakesDecisionsAndWholeLines(t *testing.T) {
	var out bytes.Buffer
	d := &demo{out: &lines{w: &out}}
	digest := "sha256:" + strings.Repeat("0a", 32)
	rest := d.show([]byte(`{"msg":"serving"}
not JSON
{"msg":"decision","subject":"ann@acme.example","license":"lic","kind":"blob","repository":"a/b","reference":"` + digest + `","decision":"allow","cache":"hit","duration_ms":1.5}
{"msg":"decision","kind":"manifest","repository":"a/b","reference":"1.0","decision":"denied","duration_ms":0.001,"reason":"no"}
{"msg":"deci`))
	if string(rest) != `{"msg":"deci` {
		t.Errorf("rest %q", rest)
	}
	got := out.String()
	for _, want := range []string{"allow              ann@acme.example     blob a/b@sha256:0a0a0a0a0a0a, lic, cache hit, 1.5ms\n", "manifest a/b:1.0, 1µs: no\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("shown:\n%s\nwant %q", got, want)
		}
	}
	if n := strings.Count(got, "\n"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, got)
	}
}

func TestUnknownArgumentsAreRefused(t *testing.T) {
	err := run(t.Context(), []string{"once"}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), `unexpected argument "once"`) {
		t.Errorf("error %v", err)
	}
}
