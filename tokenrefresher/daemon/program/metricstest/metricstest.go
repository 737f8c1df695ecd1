// Package metricstest checks the metrics of a program: by Prometheus' naming
// conventions, and against the table in the program's README.md. The tests of
// both programs use it.
package metricstest

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update-metrics", false, "write the table of metrics into README.md")

var section = regexp.MustCompile(`(?s)(<!-- metrics -->\n).*?(<!-- end -->)`)

// Check fails if a metric of g breaks a convention of
// https://prometheus.io/docs/practices/naming/, or if the table between
// "<!-- metrics -->" and "<!-- end -->" in readme differs from what g has. The
// metrics of Go and of the process are left out.
func Check(t *testing.T, g prometheus.Gatherer, program, readme string) {
	t.Helper()
	problems, err := testutil.GatherAndLint(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s (https://prometheus.io/docs/practices/naming/)", p.Metric, p.Text)
	}
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	families = slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return !strings.HasPrefix(f.GetName(), program+"_") })
	checkNames(t, families)
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	if !section.Match(text) {
		t.Fatalf("%s has no place for the metrics", readme)
	}
	want := section.ReplaceAllString(string(text), "${1}\n"+strings.ReplaceAll(table(families), "$", "$$")+"\n${2}")
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("the table of metrics in %s is not the program's; go test . -update-metrics", readme)
	}
	if err := os.WriteFile(readme, []byte(want), 0o600); err != nil { //nolint:gosec // the caller is a test
		t.Fatal(err)
	}
}

// checkNames: the name of a counter without _total names no other metric,
// since OpenMetrics gives it to the counter's family.
func checkNames(t *testing.T, families []*dto.MetricFamily) {
	t.Helper()
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	for name := range names {
		if base, isCounter := strings.CutSuffix(name, "_total"); isCounter && names[base] {
			t.Errorf("%s and %s have one name in OpenMetrics", name, base)
		}
	}
}

func table(families []*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString("| Metric | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n")
	for _, f := range families {
		labels := "–"
		if pairs := f.GetMetric()[0].GetLabel(); len(pairs) > 0 {
			var names []string
			for _, pair := range pairs {
				names = append(names, "`"+pair.GetName()+"`")
			}
			labels = strings.Join(names, ", ")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), labels, strings.ReplaceAll(f.GetHelp(), "|", `\|`))
	}
	return b.String()
}
