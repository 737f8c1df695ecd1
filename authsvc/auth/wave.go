package auth

import (
	"errors"
	"sync"
	"time"
)

// errWave is that the source refuses so many known customers at a time that it
// is more likely to be broken than right.
var errWave = errors.New("the source refuses more than half of the customers that it accepted before: " +
	"taken for an outage, and last answers serve")

// minRenewals is how many renewals it takes within waveWindow to judge the
// source by them.
const (
	minRenewals = 10
	waveWindow  = time.Minute
)

// A wave counts what the source says of customers that it accepted before. A
// firewall of the vendor's that refuses everybody must not end every customer.
type wave struct {
	mu     sync.Mutex
	recent []renewal // of the last minute
}

type renewal struct {
	at      time.Time
	refused bool
}

// renewed notes a renewal, and says whether it is a refusal in a wave of them.
func (w *wave) renewed(refused bool, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := 0
	for first < len(w.recent) && now.Sub(w.recent[first].at) >= waveWindow {
		first++
	}
	w.recent = append(w.recent[first:], renewal{now, refused})
	refusals := 0
	for _, r := range w.recent {
		if r.refused {
			refusals++
		}
	}
	return refused && len(w.recent) >= minRenewals && 2*refusals > len(w.recent)
}
