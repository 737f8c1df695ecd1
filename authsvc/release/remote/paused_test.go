package remote_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/remote"
)

// roundTrip answers instead of a registry.
type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// TestBurstOf429s doubled the pause once for each answer, so that sixteen
// questions at a time stopped all learning for 30 seconds.
func TestBurstOf429s(t *testing.T) {
	for bursts, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			const parallel = 16
			var n atomic.Int64
			c, err := remote.New(remote.Options{
				Upstream: &tokens{current: token("key", 1)}, Requests: parallel,
				Transport: roundTrip(func(r *http.Request) *http.Response {
					i := n.Add(1)
					time.Sleep(time.Duration(i) * time.Millisecond) // the answers come one after another
					w := httptest.NewRecorder()
					if i <= int64(bursts*parallel) {
						w.WriteHeader(http.StatusTooManyRequests)
					} else {
						manifests(map[string]string{"1.0": "x"})(w, r)
					}
					return w.Result()
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			var all sync.WaitGroup
			for i := range parallel {
				all.Go(func() {
					if _, err := c.Resolve(t.Context(), fmt.Sprint("acme/a", i), "1.0"); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if took := time.Since(start); took > want {
				t.Errorf("%d bursts: %s until all was answered, want %s at most", bursts, took, want)
			}
		})
	}
}
