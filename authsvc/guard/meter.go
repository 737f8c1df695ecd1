package guard

import "time"

// A meter counts events of which one is forgotten in each unit of time: a
// leaky bucket in the form of a virtual clock (GCRA, ITU-T I.371, annex A). Its
// value is the moment at which it will be empty.
type meter time.Duration

// level is how many events are not forgotten, rounded up.
func (m meter) level(now, unit time.Duration) int {
	if left := time.Duration(m) - now; left > 0 {
		return int((left-1)/unit) + 1
	}
	return 0
}

// add counts one event, unless there are most of them already.
func (m *meter) add(now, unit time.Duration, most int) {
	if m.level(now, unit) < most {
		*m = max(*m, meter(now)) + meter(unit)
	}
}

// back takes n events back.
func (m *meter) back(unit time.Duration, n int) { *m -= meter(n) * meter(unit) }
