package e2e_test

import (
	"fmt"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// TestConditionsOnNginxsOwnAnswers: nginx answers If-Match and If-Unmodified-Since with
// 412 where it answers 200 itself, and with its own HTML unless told otherwise.
func TestConditionsOnNginxsOwnAnswers(t *testing.T) {
	for _, nginx := range nginxes(t) {
		t.Run(fmt.Sprint(nginx.version), func(t *testing.T) {
			s := start(t, stack.Options{Nginx: nginx.path, NoStream: true})
			push(t, s, "acme/appliance:1.0")
			for _, condition := range []string{`If-Match: "x"`, "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"} {
				r := request{uri: "/v2/", header: []string{condition}}
				every(t, s, r, func(r request, a answer) { wantError(t, r, a, 412, "UNSUPPORTED") })
				r.uri = health
				every(t, s, r, func(r request, a answer) {
					if a.status != 412 || a.body != "conditional\n" && a.body != "" {
						t.Errorf("%s %s: %d %q", r.proto, condition, a.status, a.body)
					}
				})
				r.uri = manifest
				every(t, s, r, func(r request, a answer) {
					if a.status != 200 {
						t.Errorf("%s %s: a manifest: %d %s", r.proto, condition, a.status, a.body)
					}
				})
			}
		})
	}
}
