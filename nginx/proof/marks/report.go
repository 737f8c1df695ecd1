package marks

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"text/tabwriter"
)

// An Allowed place may contain a secret.
type Allowed struct {
	// Kind, Place and Mark are patterns of path.Match, Place for the last
	// element alone. An empty one matches everything.
	Kind, Place, Mark string
	Reason            string
}

func (a Allowed) allows(f Finding) bool {
	for _, t := range []struct{ pattern, text string }{{a.Kind, f.Kind}, {a.Place, path.Base(f.Place)}, {a.Mark, f.Mark}} {
		if ok, err := path.Match(t.pattern, t.text); t.pattern != "" && (err != nil || !ok) {
			return false
		}
	}
	return true
}

// Leaks returns the findings that no entry allows.
func (r *Searcher) Leaks(list []Allowed) []Finding {
	return slices.DeleteFunc(r.Findings(), func(f Finding) bool {
		return slices.ContainsFunc(list, func(a Allowed) bool { return a.allows(f) })
	})
}

// Report writes a table of what was searched and found, then each leak.
func (r *Searcher) Report(w io.Writer, list []Allowed) error {
	found, leaked := map[string]int{}, map[string]int{}
	leaks := r.Leaks(list)
	for _, f := range r.findings {
		found[f.Kind]++
	}
	for _, f := range leaks {
		leaked[f.Kind]++
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "searched\tplaces\tMB\tunreadable\tallowed\tleaks\t")
	var sum Tally
	for _, kind := range slices.Sorted(maps.Keys(r.tallies)) {
		t := r.tallies[kind]
		sum.Places, sum.Bytes, sum.Unreadable = sum.Places+t.Places, sum.Bytes+t.Bytes, sum.Unreadable+t.Unreadable
		fmt.Fprintf(table, "%s\t%d\t%.1f\t%d\t%d\t%d\t\n", kind, t.Places, mb(t.Bytes), t.Unreadable, found[kind]-leaked[kind], leaked[kind])
	}
	fmt.Fprintf(table, "all\t%d\t%.1f\t%d\t%d\t%d\t\n", sum.Places, mb(sum.Bytes), sum.Unreadable, len(r.findings)-len(leaks), len(leaks))
	if err := table.Flush(); err != nil {
		return err
	}
	for _, f := range leaks {
		if _, err := fmt.Fprintf(w, "LEAK: %s\n", f); err != nil {
			return err
		}
	}
	return nil
}

// String says where, which, and how; not the secret.
func (f Finding) String() string {
	return fmt.Sprintf("%s %s, at byte %d: %s (%s)", f.Kind, f.Place, f.Offset, f.Mark, f.Form)
}

func mb(n int64) float64 { return float64(n) / 1e6 }
