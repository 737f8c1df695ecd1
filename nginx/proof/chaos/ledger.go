package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// mostExcused is the share of all pulls that may be excused.
const mostExcused = 0.05

// shown is how many bad pulls are shown in full.
const shown = 10

// A ledger has the faults and the pulls of a run.
type ledger struct {
	excuses []excuse
	out     io.Writer

	mu      sync.Mutex
	began   time.Time
	periods []period // in order
	totals  tally
	byFault map[string]*tally
	latest  string
}

// A tally counts pulls by verdict.
type tally map[verdict]int

func (t tally) pulls() int { return t[ok] + t[excused] + t[lost] + t[wronged] }

// quiet is the row of pulls that met no fault but the guesses.
const quiet = "none"

func newLedger(excuses []excuse, out io.Writer) *ledger {
	return &ledger{excuses: excuses, out: out, began: time.Now(), totals: tally{}, byFault: map[string]*tally{}, latest: quiet}
}

// starts notes that a fault is in force from now on.
func (l *ledger) starts(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.periods = append(l.periods, period{fault: name, from: time.Now()})
	switch {
	case name == guesses:
	case l.latest == quiet:
		l.latest = name
	default:
		l.latest += " + " + name
	}
}

// allEnd notes that no fault but the guesses is in force any more.
func (l *ledger) allEnd() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.periods {
		if p := &l.periods[i]; p.to.IsZero() && p.fault != guesses {
			p.to = time.Now()
		}
	}
	l.latest = quiet
}

// add judges a pull, counts it, and shows it if it is bad.
func (l *ledger) add(p pull) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := judge(p, l.periods, l.excuses)
	l.totals[v]++
	var met []string
	for _, f := range l.periods {
		if f.fault != guesses && f.overlaps(p.began, p.ended, 0) {
			met = append(met, f.fault)
		}
	}
	if len(met) == 0 {
		met = []string{quiet}
	}
	for _, name := range met {
		if l.byFault[name] == nil {
			l.byFault[name] = &tally{}
		}
		(*l.byFault[name])[v]++
	}
	if bad := l.totals[lost] + l.totals[wronged]; (v == lost || v == wronged) && bad <= shown {
		fmt.Fprintf(l.out, "\n%s: a pull of a customer who is %q by %s: expected %q, found %q, after %v\n  at:       %s to %s\n  in force: %s\n  before:   %s\n  command:  %s\n  output:   %s\n\n",
			strings.ToUpper(string(v)), p.customer, p.asks, p.want, p.outcome, p.ended.Sub(p.began).Round(time.Millisecond),
			p.began.UTC().Format(clockFormat), p.ended.UTC().Format(clockFormat),
			strings.Join(met, " + "), l.before(p), p.command, strings.ReplaceAll(strings.TrimSpace(p.output), "\n", "\n            "))
	}
}

const clockFormat = "15:04:05.000"

// before tells the fault that ended last before a pull.
func (l *ledger) before(p pull) string {
	for i := len(l.periods) - 1; i >= 0; i-- {
		if f := l.periods[i]; !f.to.IsZero() && f.to.Before(p.began) {
			return fmt.Sprintf("%s, ended %v before", f.fault, p.began.Sub(f.to).Round(time.Millisecond))
		}
	}
	return "nothing"
}

// progress writes one line.
func (l *ledger) progress(g *guesser) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, "%7s  pulls %5d: ok %5d  excused %3d  lost %d  wronged %d   guesses %6d   now: %s\n",
		time.Since(l.began).Round(time.Second), l.totals.pulls(), l.totals[ok], l.totals[excused], l.totals[lost], l.totals[wronged], g.tried.Load(), l.latest)
}

// summary writes a table by fault. A pull that met two counts for both.
func (l *ledger) summary() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := tabwriter.NewWriter(l.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nFAULT\tTIMES\tPULLS\tOK\tEXCUSED\tLOST\tWRONGED\t")
	row := func(name string, times string, t tally) {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t\n", name, times, t.pulls(), t[ok], t[excused], t[lost], t[wronged])
	}
	for _, f := range append([]fault{{name: quiet}}, everyFault...) {
		times := 0
		for _, p := range l.periods {
			if p.fault == f.name {
				times++
			}
		}
		if t := l.byFault[f.name]; t != nil {
			row(f.name, fmt.Sprint(times), *t)
		} else if times > 0 {
			row(f.name, fmt.Sprint(times), tally{})
		}
	}
	row("all", "", l.totals)
	return w.Flush()
}

// failures are what is wrong with the run's pulls.
func (l *ledger) failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	if n := l.totals[lost]; n > 0 {
		all = append(all, fmt.Sprintf("%d pulls were lost that excuses.md does not excuse", n))
	}
	if n := l.totals[wronged]; n > 0 {
		all = append(all, fmt.Sprintf("%d pulls got the opposite of what the customer may, or other content", n))
	}
	if share := float64(l.totals[excused]) / float64(max(1, l.totals.pulls())); share > mostExcused {
		all = append(all, fmt.Sprintf("%.1f %% of all pulls were lost with an excuse; expected at most %.0f %%", 100*share, 100*mostExcused))
	}
	if l.totals[ok] == 0 {
		all = append(all, "no pull succeeded")
	}
	return all
}
