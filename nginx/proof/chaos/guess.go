package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	guessEvery = 5 * time.Millisecond // 200 a second
	guessers   = 160                  // at once: a guess may have to wait for 750 ms
	// perAddress is when a guesser moves on to its next address. By then it
	// has long been banned (guard.failures is 60).
	perAddress = 400
)

// A guesser tries wrong passwords of real customers, all the time.
type guesser struct {
	url       string
	customers []string
	began     time.Time
	tried     atomic.Int64
	letIn     atomic.Int64 // what must not happen
	done      sync.WaitGroup
}

// newGuesser knows where to guess, and the names of customers.
func newGuesser(url string, customers []string) *guesser {
	return &guesser{url: url + "/v2/" + licensedRepository + "/manifests/1.0", customers: customers}
}

// start guesses until ctx ends.
func (g *guesser) start(ctx context.Context) {
	g.began = time.Now()
	tick := make(chan struct{})
	g.done.Go(func() {
		ticker := time.NewTicker(guessEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				close(tick)
				return
			case <-ticker.C:
			}
			select {
			case tick <- struct{}{}:
			default: // all are waiting for answers
			}
		}
	})
	for i := range guessers {
		g.done.Go(func() { g.guess(ctx, i, tick) })
	}
}

func (g *guesser) guess(ctx context.Context, i int, tick <-chan struct{}) {
	var from *http.Client
	n := 0
	for range tick {
		if n%perAddress == 0 {
			if from != nil {
				from.CloseIdleConnections()
			}
			from = clientFrom(fmt.Sprintf("127.40.%d.%d", 1+n/perAddress%200, 1+i))
		}
		g.one(ctx, from, g.customers[n%len(g.customers)])
		n++
	}
	if from != nil {
		from.CloseIdleConnections()
	}
}

// one guesses once. Anything but a success is as it should be.
func (g *guesser) one(ctx context.Context, from *http.Client, user string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url, nil)
	if err != nil {
		return
	}
	request.SetBasicAuth(user, mark+rand.Text())
	response, err := from.Do(request)
	if err != nil {
		return // a fault
	}
	g.tried.Add(1)
	if response.StatusCode < http.StatusBadRequest {
		g.letIn.Add(1)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// rate is how many guesses were answered in a second. A slow machine, or nginx
// while it is paused, answers fewer than were planned.
func (g *guesser) rate() float64 {
	return float64(g.tried.Load()) / time.Since(g.began).Seconds()
}

// clientFrom is a client that comes from an address of loopback.
func clientFrom(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}, Timeout: patience}
}
