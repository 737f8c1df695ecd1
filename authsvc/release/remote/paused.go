package remote

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// firstPause is how long nothing is asked of a registry that says it is too
	// busy, but not for how long. It doubles with each pause that follows.
	firstPause = 500 * time.Millisecond
	// maxPause bounds what a registry can ask for.
	maxPause = 30 * time.Second
	// maxAttempts is how often one request is sent.
	maxAttempts = 3
)

// paused sends nothing for a while after the registry answered 429 or 503, and then
// retries. A request whose deadline is earlier fails at once.
type paused struct {
	next http.RoundTripper

	mu    sync.Mutex
	until time.Time
	pause time.Duration // the next one, unless the registry says how long
}

func (p *paused) RoundTrip(r *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		if err := p.wait(r.Context()); err != nil {
			return nil, err
		}
		sent := time.Now()
		response, err := p.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusServiceUnavailable {
			p.recovered()
			return response, nil
		}
		p.busy(sent, response.Header.Get("Retry-After"))
		if attempt == maxAttempts {
			return response, nil
		}
		drain(response)
	}
}

// wait waits until the registry may be asked.
func (p *paused) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		left := time.Until(p.until)
		p.mu.Unlock()
		if left <= 0 {
			return nil
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < left {
			return fmt.Errorf("the registry is busy; it asked to wait another %s", left.Round(time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(left):
		}
	}
}

// busy notes that the registry has asked for a pause, in answer to a request
// sent at some time. Answers to requests sent before the last pause ended
// belong to the burst that caused it, and do not double it.
func (p *paused) busy(sent time.Time, retryAfter string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var pause time.Duration
	if !sent.Before(p.until) {
		pause = min(max(p.pause, firstPause), maxPause)
		p.pause = 2 * pause
	}
	if seconds, err := strconv.ParseUint(retryAfter, 10, 32); err == nil {
		pause = min(time.Duration(seconds)*time.Second, maxPause) //nolint:gosec // 32 bits of seconds
	}
	if until := time.Now().Add(pause); until.After(p.until) {
		p.until = until
	}
}

func (p *paused) recovered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pause != 0 && !time.Now().Before(p.until) {
		p.pause = 0
	}
}
