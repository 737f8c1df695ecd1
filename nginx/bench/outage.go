package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

const (
	names = 20_000
	// dueAfter is the time after which a customer is asked about again, and
	// outageTime what is measured of an outage and of a healthy time.
	dueAfter   = 5 * time.Second
	outageTime = 3 * time.Second
)

// measureNames lets one token without any license be used under many names, and
// counts the known customers who are asked about again.
func measureNames(ctx context.Context, s *stack.Stack, _ io.Writer) (figures, error) {
	crowd, err := newCrowd(ctx, s)
	if err != nil {
		return nil, err
	}
	s.Vendor.SetAccount("free", vendorapi.Account{Email: "free@acme.example"})
	asked := count(s, "known-", 0)
	var group sync.WaitGroup
	failures := make(chan error, connections)
	for worker := range connections {
		group.Go(func() {
			free := newPerson(s, address(20, 0), "", "")
			defer free.leave()
			for i := worker; i < names; i += connections {
				status, _, err := free.askAs(ctx, "/v2/", fmt.Sprintf("name%d@acme.example", i), "free")
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("name %d: expected status 200, found %d", i, status)
				}
				if err != nil {
					failures <- err
					return
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-failures:
		return nil, err
	default:
	}
	if err := crowd.once(ctx); err != nil {
		return nil, err
	}
	return figures{"names_evicted": float64(asked.count.Load())}, nil
}

// measureOutage compares what customers wait while the vendor's API hangs with
// what they wait while it is well.
func measureOutage(ctx context.Context, s *stack.Stack, stdout io.Writer) (figures, error) {
	crowd, err := newCrowd(ctx, s)
	if err != nil {
		return nil, err
	}
	var healthy, stale []float64
	for range phases {
		if err := crowd.once(ctx); err != nil { // and all are asked about again
			return nil, err
		}
		well, err := crowd.pull(ctx, outageTime)
		if err != nil {
			return nil, err
		}
		s.Vendor.TLS.Inject(standin.Fault{Hang: true})
		if err := crowd.pullUntil(ctx, s, "authsvc_source_breaker_open{breaker=\"customers\",source=\"kloudless\"} 1"); err != nil {
			return nil, err
		}
		hanging, err := crowd.pull(ctx, outageTime)
		if err != nil {
			return nil, err
		}
		s.Vendor.TLS.ClearFaults()
		if err := crowd.pullUntil(ctx, s, "authsvc_source_breaker_open{breaker=\"customers\",source=\"kloudless\"} 0"); err != nil {
			return nil, err
		}
		if n := well.refused + hanging.refused; n > 0 {
			return nil, fmt.Errorf("%d requests of known customers were refused", n)
		}
		healthy, stale = append(healthy, well.p99()), append(stale, hanging.p99())
	}
	fmt.Fprintf(stdout, "p99 %.1f ms, while the API hangs %.1f ms\n", median(healthy), median(stale))
	return figures{"outage_stale_p99_ratio": ratio(stale, healthy)}, nil
}

// pullUntil lets all customers pull until authsvc's metrics have a line, which
// depends on what they ask.
func (c *crowd) pullUntil(ctx context.Context, s *stack.Stack, line string) error {
	for range 60 {
		if _, err := c.pull(ctx, pullEvery); err != nil {
			return err
		}
		response, err := http.Get(s.AuthsvcURL() + "/metrics")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		if err := response.Body.Close(); err != nil {
			return err
		}
		if strings.Contains(string(text), line+"\n") {
			return nil
		}
	}
	return fmt.Errorf("expected %s in authsvc's metrics, found none within %v", line, 60*pullEvery)
}
