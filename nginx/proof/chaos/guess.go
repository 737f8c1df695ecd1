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
	guessers   = 16                   // at once
	// perAddress is when a guesser moves on to its next address. By then it
	// has long been banned (guard.failures is 60).
	perAddress = 400
)

// A guesser tries wrong passwords of real customers, all the time.
type guesser struct {
	tried atomic.Int64
	// letIn is what must not happen.
	letIn atomic.Int64
	done  sync.WaitGroup
}

// startGuesses guesses until ctx ends.
func startGuesses(ctx context.Context, url string, customers []string) *guesser {
	g := &guesser{}
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
		g.done.Go(func() { g.guess(ctx, i, url+"/v2/"+licensedRepository+"/manifests/1.0", customers, tick) })
	}
	return g
}

func (g *guesser) guess(ctx context.Context, i int, url string, customers []string, tick <-chan struct{}) {
	var from *http.Client
	n := 0
	for range tick {
		if n%perAddress == 0 {
			if from != nil {
				from.CloseIdleConnections()
			}
			from = clientFrom(fmt.Sprintf("127.40.%d.%d", 1+n/perAddress%200, 1+i))
		}
		g.one(ctx, from, url, customers[n%len(customers)])
		n++
	}
	if from != nil {
		from.CloseIdleConnections()
	}
}

// one guesses once. Anything but a success is as it should be.
func (g *guesser) one(ctx context.Context, from *http.Client, url, user string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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

// clientFrom is a client that comes from an address of loopback.
func clientFrom(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}, Timeout: patience}
}
