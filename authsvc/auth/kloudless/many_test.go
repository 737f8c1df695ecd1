package kloudless_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
)

// TestTooManyGrantsAskOnce: a customer with 10,001 grants made a call to the
// vendor's API at each request. It is an outage for this customer alone, and is
// remembered as one; with 10,000 grants it is a customer like any other.
func TestTooManyGrantsAskOnce(t *testing.T) {
	for _, grants := range []int{10_000, 10_001} {
		var asked atomic.Int64
		tags := strings.Repeat(`"1.*",`, grants-1) + `"1.*"`
		body := fmt.Sprintf(`{"objects": [{"id": "lic_1", "active": true, "expiration": null, "docker_releases": [{"repository": "acme/*", "tags": [%s]}]}]}`, tags)
		source := client(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			_, _ = w.Write([]byte(body))
		}, nil)
		cache := authtest.NewCache(source, auth.CacheConfig{TTL: time.Minute, RefusalTTL: 10 * time.Second, StaleTTL: time.Minute, MaxEntries: 10, MaxRefusals: 10})
		for range 100 {
			decision, err := cache.Authenticate(t.Context(), auth.Caller{Credential: ann})
			if tooMany := grants > 10_000; (err != nil) != tooMany || err == nil && decision.Grants.Len() != grants {
				t.Fatalf("%d grants: %v, %d grants", grants, err, decision.Grants.Len())
			}
		}
		if got := asked.Load(); got != 1 {
			t.Errorf("%d grants: 100 requests made %d calls, want one", grants, got)
		}
	}
}
