package upstream_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/upstream"
)

// A region is a registry with a stand-by, what it answers to pings, and a clock.
type region struct {
	t      *testing.T
	routes *upstream.Routes
	first  *upstream.Upstream

	mu     sync.Mutex
	now    time.Time
	answer func(context.Context) (status int, err error)
	pings  int
}

func newRegion(t *testing.T) *region {
	r := &region{t: t, now: fetched}
	r.first = upstream.New(newSource(token("eu", fetched)), upstream.Config{Name: "eu", Transport: r, Now: r.clock})
	r.routes = upstream.NewRoutes(route(r.first, registry("us", nil), ""))
	return r
}

func (r *region) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// RoundTrip implements http.RoundTripper: a ping.
func (r *region) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.pings++
	answer := r.answer
	r.mu.Unlock()
	status, err := answer(request.Context())
	if err != nil {
		return nil, err
	}
	recorder := httptest.NewRecorder()
	recorder.Code = status
	return recorder.Result(), nil
}

// An event happens at some time after the start. It may have to end before others.
type event struct {
	after time.Duration
	do    func(*region)
}

// fails: nginx reports failures.
func fails(n int) func(*region) {
	return func(r *region) {
		for range n {
			r.routes.Failed("eu.x", "502")
		}
	}
}

// admits: somebody asks for something.
func admits(want bool) func(*region) {
	return func(r *region) {
		r.t.Helper()
		if got := r.first.Admits(); got != want {
			r.t.Errorf("admits %t", got)
		}
	}
}

// serves: somebody looks at the metrics, or at what is degraded.
func serves(want bool) func(*region) {
	return func(r *region) {
		r.t.Helper()
		onStandby := numbersOf(r.t, r.routes)[`authsvc_upstream_on_standby{upstream="eu"}`]
		if got := r.first.Serves(); got != want || (onStandby == 0) != want || (len(r.routes.Troubles()) == 0) != want {
			r.t.Errorf("serves %t, on stand-by %g, troubles %q", got, onStandby, r.routes.Troubles())
		}
	}
}

// pings: so often the registry was asked by now.
func pings(want int) func(*region) {
	return func(r *region) {
		r.t.Helper()
		if r.pings != want {
			r.t.Errorf("%d pings, want %d", r.pings, want)
		}
	}
}

// answering changes what pings are answered with.
func answering(status int) func(*region) {
	return func(r *region) {
		r.answer = func(context.Context) (int, error) { return status, nil }
	}
}

// hangs: pings are not answered.
func hangs(r *region) {
	r.answer = func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
}

const s = time.Second

// toTrial are five failures, and a ping that is answered 5 s later.
var toTrial = []event{{0, answering(200)}, {0, fails(5)}, {5 * s, serves(false)}, {5 * s, pings(1)}}

// TestStanding has what nginx reports and customers ask for, and who is asked for it.
func TestStanding(t *testing.T) {
	for _, test := range []struct {
		name   string
		before []event
		events []event
	}{
		{"four failures", nil, []event{{0, fails(4)}, {0, admits(true)}, {time.Hour, pings(0)}}},
		{"five failures", nil, []event{{0, fails(5)}, {0, admits(false)}, {5*s - 1, admits(false)}, {5*s - 1, serves(false)}, {5*s - 1, pings(0)}}},
		{"five failures in just ten seconds", nil, []event{{0, fails(1)}, {1 * s, fails(3)}, {10 * s, fails(1)}, {10 * s, admits(false)}}},
		{"five failures in a little more", nil, []event{{0, fails(1)}, {1 * s, fails(3)}, {10*s + 1, fails(1)}, {10*s + 1, admits(true)}}},
		{"five failures, of which the first is older", nil, []event{{0, fails(1)}, {9 * s, fails(3)}, {11 * s, fails(1)}, {11 * s, admits(true)}, {12 * s, fails(1)}, {12 * s, admits(false)}}},
		{"a failure now and then", nil, []event{{0, fails(1)}, {3 * s, fails(1)}, {6 * s, fails(1)}, {9 * s, fails(1)}, {12 * s, fails(1)}, {15 * s, fails(1)}, {18 * s, fails(1)}, {18 * s, admits(true)}}},

		{"the pause doubles up to a minute", nil, []event{{0, answering(500)}, {0, fails(5)}, {5*s - 1, admits(false)}, {5*s - 1, pings(0)},
			{5 * s, admits(false)}, {5 * s, pings(1)}, {15*s - 1, admits(false)}, {15*s - 1, pings(1)}, {15 * s, admits(false)}, {15 * s, pings(2)},
			{35*s - 1, admits(false)}, {35*s - 1, pings(2)}, {35 * s, admits(false)}, {35 * s, pings(3)}, {75*s - 1, admits(false)}, {75*s - 1, pings(3)},
			{75 * s, admits(false)}, {75 * s, pings(4)}, {135*s - 1, admits(false)}, {135*s - 1, pings(4)}, {135 * s, admits(false)}, {135 * s, pings(5)},
			{195*s - 1, admits(false)}, {195*s - 1, pings(5)}, {195 * s, admits(false)}, {195 * s, pings(6)}}},
		{"failures in flight from before do not make it longer", nil, []event{{0, answering(200)}, {0, fails(5)}, {4 * s, fails(50)}, {5 * s, admits(false)}, {5 * s, pings(1)}, {5 * s, admits(true)}}},
		{"one ping at a time", nil, []event{{0, hangs}, {0, fails(5)}, {5 * s, admits(false)}, {5 * s, admits(false)}, {5 * s, serves(false)}, {9 * s, admits(false)}, {9 * s, fails(9)}, {9 * s, pings(1)}}},

		{"a request a second", toTrial, []event{{5 * s, admits(true)}, {5 * s, admits(false)}, {6*s - 1, admits(false)}, {6 * s, admits(true)}, {6 * s, admits(false)},
			{8 * s, admits(true)}, {8 * s, admits(false)}, {15*s - 1, admits(true)}, {15*s - 1, admits(false)}, {15 * s, admits(true)}, {15 * s, admits(true)}, {15 * s, serves(true)}}},
		{"who looks takes no turn", toTrial, []event{{5 * s, serves(false)}, {5 * s, admits(true)}, {5 * s, admits(false)}}},
		{"a failure on trial", toTrial, []event{{5 * s, admits(true)}, {6 * s, fails(1)}, {7 * s, admits(false)}, {16*s - 1, admits(false)}, {16*s - 1, pings(1)},
			{16 * s, admits(false)}, {16 * s, pings(2)}, {16 * s, admits(true)}}},
		{"nobody asks, and only metrics look", toTrial, []event{{15*s - 1, serves(false)}, {15 * s, serves(true)}, {15 * s, pings(1)}}},
		{"back, old failures do not count", toTrial, []event{{15 * s, admits(true)}, {15 * s, fails(4)}, {15 * s, admits(true)}, {15 * s, fails(1)}, {15 * s, admits(false)}}},
		{"back, the pause is short again", toTrial, []event{{6 * s, fails(1)}, {16 * s, serves(false)}, {16 * s, pings(2)}, {26 * s, admits(true)}, {26 * s, fails(5)},
			{31*s - 1, admits(false)}, {31*s - 1, pings(2)}, {31 * s, admits(false)}, {31 * s, pings(3)}}},
		// Nobody had looked since the trial was over.
		{"one failure long after", toTrial, []event{{time.Hour, fails(1)}, {time.Hour, admits(true)}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegion(t)
				for _, e := range append(append([]event{}, test.before...), test.events...) {
					r.mu.Lock()
					r.now = fetched.Add(e.after)
					r.mu.Unlock()
					e.do(r)
					synctest.Wait()
					if t.Failed() {
						t.Fatalf("after %v", e.after)
					}
				}
				time.Sleep(time.Minute) // what still hangs is given up
			})
		})
	}
}

// TestWithoutStandby: a registry that nobody stands by for is asked whatever it does.
func TestWithoutStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		alone := upstream.New(newSource(token("eu", fetched)), upstream.Config{Name: "eu", Transport: r, Now: r.clock})
		routes := upstream.NewRoutes(route(alone, nil, ""))
		for i := range 1000 {
			r.now = fetched.Add(time.Duration(i) * s)
			routes.Failed("eu.x", "504")
			if !alone.Admits() || !alone.Serves() || routes.Troubles() != nil {
				t.Fatalf("it is not asked any more after %d failures", i)
			}
		}
		synctest.Wait()
		pings(0)(r)
	})
}

// TestStandingAtTheSameTime: many ask, report, and look; on trial, one a second goes
// through, and never more than one ping is under way.
func TestStandingAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		var underWay, admitted atomic.Int32
		r.answer = func(context.Context) (int, error) {
			defer underWay.Add(-1)
			if underWay.Add(1) > 1 {
				t.Error("two pings at a time")
			}
			return 200, nil
		}
		everybody := func(do func(i int)) {
			var all sync.WaitGroup
			for i := range 64 {
				all.Go(func() { do(i) })
			}
			all.Wait()
			synctest.Wait()
		}
		ask := func(int) {
			if r.first.Admits() {
				admitted.Add(1)
			}
			_, _ = r.first.Serves(), r.routes.Troubles()
		}
		everybody(func(int) { r.routes.Failed("eu.x", "502") })
		r.now = fetched.Add(5 * s)
		everybody(ask) // one sends the ping; those after it may be on trial
		if n := admitted.Load(); n > 1 || r.pings != 1 {
			t.Errorf("%d were admitted, %d pings", n, r.pings)
		}
		for i := range 9 {
			admitted.Store(0)
			r.now = fetched.Add(time.Duration(6+i) * s)
			everybody(ask)
			if n := admitted.Load(); n != 1 {
				t.Errorf("in second %d, %d were admitted", i, n)
			}
		}
		admitted.Store(0)
		r.now = fetched.Add(15 * s)
		everybody(ask)
		if n := admitted.Load(); n != 64 {
			t.Errorf("after the trial, %d were admitted", n)
		}
	})
}
