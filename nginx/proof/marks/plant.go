package marks

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Plants returns all secrets in all forms, as leaks would show them, one in a line.
// A search that does not find all of them finds nothing when it matters.
func (s *Set) Plants() []string {
	var all []string
	for _, m := range s.marks {
		for before := range 3 {
			for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
				all = append(all, e.EncodeToString([]byte("user:"[:before]+m.value+" and more")))
			}
		}
		for _, form := range forms {
			if !strings.HasPrefix(string(form.name), "base64") {
				all = append(all, form.write(m.value))
			}
		}
	}
	return all
}

// Missed says which secrets were not found in a place that has all plants, and in
// which forms.
func (r *Searcher) Missed(kind, place string) []string {
	var missed []string
	for _, all := range r.needles {
		for _, n := range all {
			if !r.seen[Finding{kind, place, n.mark, n.form, 0}] {
				missed = append(missed, fmt.Sprintf("%s (%s)", n.mark, n.form))
			}
		}
	}
	slices.Sort(missed)
	return slices.Compact(missed)
}
