package monitoring_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// readsWhatIsThere: each metric in an alert or a panel, with each label value that it
// names, existed at some time.
func (w *world) readsWhatIsThere() {
	w.t.Helper()
	_, d := loadDashboard(w.t)
	exprs := []string{`up{job=~"authsvc|tokenrefresher|authsvc-content"}`} // the dashboard's variable
	for _, v := range d.Templating.List {
		if v.Query != nil && v.Query.String != nil && v.Name == "instance" && !strings.Contains(*v.Query.String, exprs[0]) {
			w.t.Errorf("the variable instance asks for %q, want the instances of %s", *v.Query.String, exprs[0])
		}
	}
	for _, r := range loadRules(w.t) {
		exprs = append(exprs, r.Expr)
	}
	for _, p := range panels(w.t, d) {
		for _, q := range queries(w.t, p) {
			exprs = append(exprs, substituted(q.Expr))
		}
	}
	checked := map[string]bool{}
	for _, expr := range exprs {
		reads := selectors(expr)
		if len(reads) == 0 {
			w.t.Errorf("%s reads nothing", expr)
		}
		for _, s := range reads {
			wanted := []string{s.name}
			for label, values := range s.labels {
				for _, value := range values {
					wanted = append(wanted, fmt.Sprintf("%s{%s=%q}", s.name, label, value))
				}
			}
			for _, series := range wanted {
				if !checked[series] && len(w.prom.series(series)) == 0 {
					w.t.Errorf("%s\nreads %s, which nothing has", expr, series)
				}
				checked[series] = true
			}
		}
	}
	w.t.Logf("%d expressions read %d metrics and values of labels", len(exprs), len(checked))
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// showsWhatIsThere: each panel has shown something, with the labels that its
// legend names.
func (w *world) showsWhatIsThere() {
	w.t.Helper()
	_, d := loadDashboard(w.t)
	for _, p := range panels(w.t, d) {
		for _, q := range queries(w.t, p) {
			shown := slices.DeleteFunc(w.prom.since(substituted(q.Expr)), func(r result) bool {
				return !slices.ContainsFunc(r.Values, func(v []any) bool { return len(v) == 2 && v[1] != "NaN" })
			})
			if len(shown) == 0 {
				w.t.Errorf("panel %q shows nothing: %s", text(p.Title), q.Expr)
			}
			for _, label := range legendLabel.FindAllStringSubmatch(text(q.LegendFormat), -1) {
				for _, r := range shown {
					if r.Metric[label[1]] == "" {
						w.t.Errorf("panel %q names the label %s in its legend, which %v lacks", text(p.Title), label[1], r.Metric)
					}
				}
			}
		}
	}
}

// substituted returns an expression as Grafana sends it, for all instances.
func substituted(expr string) string {
	return strings.NewReplacer("$instance", ".*", "$__rate_interval", "10s").Replace(expr)
}
