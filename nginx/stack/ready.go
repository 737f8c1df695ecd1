package stack

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// poll calls ready every few milliseconds until it returns nil, the process ends,
// or the time is up. Then the error says what was still missing.
func poll(ctx context.Context, limit time.Duration, p *Process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pause := 5 * time.Millisecond
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.died()
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w; the end of its log:\n%s", p.name, limit, err, tail(p.log, 20))
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}

// answers returns a check for poll: url must answer one of the statuses.
func answers(client *http.Client, url string, statuses ...int) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		for _, status := range statuses {
			if resp.StatusCode == status {
				return nil
			}
		}
		return fmt.Errorf("%s answered %s, expected %v", url, resp.Status, statuses)
	}
}
