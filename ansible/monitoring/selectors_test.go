package monitoring_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// A selector is what an expression reads: a metric, and the values of labels
// that it names, wanted or not.
type selector struct {
	name   string
	labels map[string][]string
}

var (
	// What contains names other than metrics: ranges, and lists of labels.
	noMetrics = regexp.MustCompile(`\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	// A name, its matchers, and the parenthesis that makes it a function.
	names    = regexp.MustCompile(`\b([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\}|(\s*\())?`)
	matchers = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
	keywords = map[string]bool{"and": true, "or": true, "unless": true, "offset": true, "bool": true, "Inf": true,
		"by": true, "without": true, "on": true, "ignoring": true, "sum": true, "min": true, "max": true, "count": true}
)

// selectors returns what an expression reads. A word that it does not know is
// a metric, so that a mistake here is a metric that is missed below.
func selectors(expr string) []selector {
	var found []selector
	for _, match := range names.FindAllStringSubmatch(noMetrics.ReplaceAllString(expr, " "), -1) {
		if keywords[match[1]] || match[3] != "" {
			continue
		}
		s := selector{match[1], map[string][]string{}}
		for _, m := range matchers.FindAllStringSubmatch(match[2], -1) {
			if m[2] != ".*" {
				s.labels[m[1]] = append(s.labels[m[1]], strings.Split(m[2], "|")...)
			}
		}
		found = append(found, s)
	}
	return found
}

func TestSelectors(t *testing.T) {
	none := map[string][]string{}
	for expr, want := range map[string][]selector{
		`up{job="a"} == 0`: {{"up", map[string][]string{"job": {"a"}}}},
		`absent(up)`:       {{"up", none}},
		`histogram_quantile(0.9, sum by (job, le) (rate(x_bucket[10m]))) > 2.5`: {{"x_bucket", none}},
		`a{b=~"c|d", e!~".*"} unless on (b) a:b:ratio5m offset 1d`:              {{"a", map[string][]string{"b": {"c", "d"}}}, {"a:b:ratio5m", none}},
		`(x - time() < Inf) > 3 * 3600 or vector(0)`:                            {{"x", none}},
		`sum (rate(y{k!="search"}[5m])) / count by (job) (z)`:                   {{"y", map[string][]string{"k": {"search"}}}, {"z", none}},
	} {
		if got := selectors(expr); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nreads %v\n want %v", expr, got, want)
		}
	}
}
