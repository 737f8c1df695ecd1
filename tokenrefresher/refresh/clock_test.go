package refresh

import (
	"testing"
	"time"
)

// TestClockSetBack: what was due by a clock that was set back since is due
// within an interval.
func TestClockSetBack(t *testing.T) {
	r := &Registry{o: Options{Schedule: Schedule{Interval: 8 * time.Hour}}, due: time.Now().Add(4 * 365 * 24 * time.Hour)}
	if wait := time.Until(r.dueAt()); wait > 8*time.Hour {
		t.Errorf("the next refresh is due in %v, want 8h at most", wait)
	}
	soon := time.Now().Add(time.Minute)
	r.due = soon
	if got := r.dueAt(); !got.Equal(soon) {
		t.Errorf("due at %v, want %v", got, soon)
	}
}
