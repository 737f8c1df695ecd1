package auth

import (
	"errors"
	"sync"
	"time"
)

// errWave means that the source refuses so many known customers at a time that it
// is more likely broken than right.
var errWave = errors.New("the source refuses more than half of the customers it accepted before; " +
	"treating this as an outage and serving the last answers")

// minRenewals is the minimum of renewals within waveWindow to judge the source.
const (
	minRenewals = 10
	waveWindow  = time.Minute
)

// A wave counts the source's latest answers about customers it accepted before. A
// vendor's firewall that refuses everybody must not cut off every customer.
type wave struct {
	mu       sync.Mutex
	recent   []renewal // of the last minute, the oldest first
	last     map[string]renewal
	refusals int // among last
}

type renewal struct {
	account string
	at      time.Time
	refused bool
}

// renewed records a renewal, and says whether it is a refusal within a wave. An account
// counts once, however many credentials it has.
func (w *wave) renewed(account string, refused bool, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.recent) > 0 && now.Sub(w.recent[0].at) >= waveWindow {
		if old := w.recent[0]; w.last[old.account] == old {
			w.forget(old.account)
		}
		w.recent = w.recent[1:]
	}
	w.forget(account)
	r := renewal{account, now, refused}
	w.recent = append(w.recent, r)
	if w.last == nil {
		w.last = map[string]renewal{}
	}
	if w.last[account] = r; refused {
		w.refusals++
	}
	return refused && len(w.last) >= minRenewals && 2*w.refusals > len(w.last)
}

func (w *wave) forget(account string) {
	if w.last[account].refused {
		w.refusals--
	}
	delete(w.last, account)
}
