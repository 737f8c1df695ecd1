package upstream_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/upstream"
)

// TestPings: a registry that answers at all is tried again.
func TestPings(t *testing.T) {
	refused := errors.New("dial tcp 10.0.0.1: refused")
	for _, test := range []struct {
		status int
		err    error
		alive  bool
	}{{200, nil, true}, {401, nil, true}, {403, nil, true}, {404, nil, true}, {429, nil, true}, {500, nil, false}, {503, nil, false}, {0, refused, false}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRegion(t)
			r.answer = func(context.Context) (int, error) { return test.status, test.err }
			fails(5)(r)
			r.now = fetched.Add(5 * s)
			admits(false)(r)
			synctest.Wait()
			if r.first.Admits() != test.alive || r.pings != 1 {
				t.Errorf("%d, %v: %d pings, tried again: %t", test.status, test.err, r.pings, !test.alive)
			}
		})
	}
}

// TestPingHangs: it is given up after a while, and sent again.
func TestPingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		hangs(r)
		fails(5)(r)
		r.now = fetched.Add(5 * s)
		admits(false)(r)
		time.Sleep(5 * s)
		synctest.Wait()
		r.now = fetched.Add(15 * s)
		answering(200)(r)
		admits(false)(r)
		synctest.Wait()
		admits(true)(r)
		pings(2)(r)
	})
}

// TestNoToken: without one, a registry is not asked, and stays as it is.
func TestNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		answering(200)(r)
		gone := newSource(token("eu", fetched))
		gone.err = errors.New("no file yet")
		r.first = upstream.New(gone, upstream.Config{Name: "eu", Transport: r, Now: r.clock})
		r.routes = upstream.NewRoutes(route(r.first, registry("us", nil), ""))
		fails(5)(r)
		r.now = fetched.Add(time.Hour)
		admits(false)(r)
		synctest.Wait()
		admits(false)(r)
		pings(0)(r)
	})
}

// TestNoTransport: whoever cannot ask tries.
func TestNoTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.first = upstream.New(newSource(token("eu", fetched)), upstream.Config{Name: "eu", Now: r.clock})
		r.routes = upstream.NewRoutes(route(r.first, registry("us", nil), ""))
		fails(5)(r)
		r.now = fetched.Add(5 * s)
		admits(false)(r)
		synctest.Wait()
		admits(true)(r)
	})
}
