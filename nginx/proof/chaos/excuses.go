package main

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed excuses.md
var excusesTable string

// An excuse is a line of excuses.md.
type excuse struct {
	faults   []string // patterns; all have to be in force
	customer string
	asks     string
	ends     outcome
	after    time.Duration
}

// parseExcuses reads the table. A line that could never excuse anything is an
// error: a name that does not exist, or an outcome that nothing excuses.
func parseExcuses(text string, faults []string) ([]excuse, error) {
	var all []excuse
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| Fault") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 6 || cells[5] == "" {
			return nil, fmt.Errorf("excuses.md: %s: expected 6 cells, the last with a reason", line)
		}
		e := excuse{faults: strings.Split(cells[0], "+"), customer: cells[1], asks: cells[2], ends: outcome(cells[3])}
		var err error
		if e.after, err = time.ParseDuration(cells[4]); err != nil {
			return nil, fmt.Errorf("excuses.md: %s: %w", line, err)
		}
		if err := e.check(faults); err != nil {
			return nil, fmt.Errorf("excuses.md: %s: %w", line, err)
		}
		all = append(all, e)
	}
	return all, nil
}

func (e excuse) check(faults []string) error {
	for _, pattern := range e.faults {
		if !slices.ContainsFunc(faults, func(name string) bool { return matches(pattern, name) }) {
			return fmt.Errorf("no fault is called %q; expected one of: %s", pattern, strings.Join(faults, ", "))
		}
	}
	if !slices.Contains(append(kinds(), "*"), e.customer) {
		return fmt.Errorf("unknown customer %q; expected one of: %s, *", e.customer, strings.Join(kinds(), ", "))
	}
	if !slices.Contains([]string{byTag, byDigest, aList, "*"}, e.asks) {
		return fmt.Errorf("unknown request %q; expected %s, %s, %s, or *", e.asks, byTag, byDigest, aList)
	}
	if e.ends != unavailable && e.ends != busy {
		return fmt.Errorf("%q cannot be excused; expected %s or %s", e.ends, unavailable, busy)
	}
	return nil
}

// covers reports whether the line excuses a pull, given what was in force.
func (e excuse) covers(p pull, inForce []period) bool {
	if !matches(e.customer, p.customer) || !matches(e.asks, p.asks) || e.ends != p.outcome {
		return false
	}
	for _, pattern := range e.faults {
		if !slices.ContainsFunc(inForce, func(f period) bool {
			return matches(pattern, f.fault) && f.overlaps(p.began, p.ended, e.after)
		}) {
			return false
		}
	}
	return true
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// A period is a time in which a fault was in force.
type period struct {
	fault string
	from  time.Time
	to    time.Time // zero while it is in force
}

// overlaps reports whether the fault, or the time after it, was within a pull's.
func (p period) overlaps(began, ended time.Time, after time.Duration) bool {
	return p.from.Before(ended) && (p.to.IsZero() || p.to.Add(after).After(began))
}
