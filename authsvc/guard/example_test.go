package guard_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/authsvc/guard"
	"golang.org/x/sync/singleflight"
)

// A look-up that callers share, and that goes on when a caller leaves. The
// pass is settled by what the source said, also for the caller who has left.
func Example() {
	g, err := guard.New(guard.Defaults(), prometheus.NewRegistry(), slog.Default())
	if err != nil {
		panic(err)
	}
	var flight singleflight.Group
	ask := func() (any, error) { return "ann@example.com", nil } // an empty subject is a refusal

	lookUp := func(ctx context.Context, caller guard.Caller) (subject string, limit *guard.Limit, err error) {
		pass, limit := g.Enter(ctx, caller)
		if limit != nil {
			return "", limit, nil
		}
		answer := make(chan singleflight.Result, 1)
		go func(shared <-chan singleflight.Result) {
			r := <-shared
			switch {
			case r.Err != nil:
				pass.NoAnswer()
			case r.Val == "":
				pass.Refused()
			default:
				pass.Accepted(r.Val.(string))
			}
			answer <- r
		}(flight.DoChan(string(caller.Credential[:]), ask))
		select {
		case <-ctx.Done():
			return "", nil, ctx.Err()
		case r := <-answer:
			if r.Err != nil {
				return "", nil, r.Err
			}
			return r.Val.(string), nil, nil
		}
	}

	fmt.Println(lookUp(context.Background(), guard.Caller{
		Address: netip.MustParseAddr("192.0.2.1"), User: "ann@example.com", Credential: [32]byte{1},
	}))
	// Output: ann@example.com <nil> <nil>
}
