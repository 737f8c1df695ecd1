// Package monitoring tests the alerts, the scrape example, and the dashboard: with
// Prometheus' own tools, with Grafana's own schema, and against the running system
// (live_test.go).
package monitoring_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The files that come with the project.
const (
	alertsFile     = "alerts.yml"
	alertTestsFile = "alerts_test.yml"
	configFile     = "prometheus.yml"
	dashboardFile  = "dashboard.json"
)

// A rule is an alert, or a recorded expression.
type rule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

// An alertTests file is what promtool runs.
type alertTests struct {
	RuleFiles []string `yaml:"rule_files"`
	Tests     []struct {
		Name        string
		Interval    string
		InputSeries []struct{ Series, Values string } `yaml:"input_series"`
		Cases       []struct {
			Alert  string `yaml:"alertname"`
			At     string `yaml:"eval_time"`
			Alerts []struct {
				Labels      map[string]string `yaml:"exp_labels"`
				Annotations map[string]string `yaml:"exp_annotations"`
			} `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

// tool finds a program of Debian's package prometheus.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; as root: apt-get install -y prometheus (%v)", name, err)
	}
	return path
}

// load reads a YAML file strictly.
func load(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// loadRules returns all rules of alerts.yml in their order.
func loadRules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	load(t, alertsFile, &file)
	var rules []rule
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	if len(rules) == 0 {
		t.Fatalf("%s: expected rules, found none", alertsFile)
	}
	return rules
}

func TestPromtool(t *testing.T) {
	promtool := tool(t, "promtool")
	for _, args := range [][]string{
		{"check", "rules", alertsFile},
		{"test", "rules", alertTestsFile},
		{"check", "config", configFile},
	} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("SUCCESS")) {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestAlertsAreComplete: each alert says what is wrong and what to do.
func TestAlertsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range loadRules(t) {
		if r.Record != "" {
			continue
		}
		if r.Alert == "" || seen[r.Alert] {
			t.Errorf("expected a name that is unique, found %q", r.Alert)
		}
		seen[r.Alert] = true
		if severity := r.Labels["severity"]; len(r.Labels) != 1 || severity != "page" && severity != "ticket" {
			t.Errorf("%s: labels %v, want severity alone, page or ticket", r.Alert, r.Labels)
		}
		if got := slices.Sorted(maps.Keys(r.Annotations)); !slices.Equal(got, []string{"action", "description", "summary"}) {
			t.Errorf("%s: annotations %q, want action, description and summary", r.Alert, got)
		}
		for name, text := range r.Annotations {
			if strings.TrimSpace(text) == "" || strings.Contains(text, "\n") {
				t.Errorf("%s: %s is empty or has several lines: %q", r.Alert, name, text)
			}
		}
		if strings.Contains(r.Annotations["action"], "{{") {
			t.Errorf("%s: the action depends on a value, and may be empty: %q", r.Alert, r.Annotations["action"])
		}
	}
}

// TestEachAlertIsTested: alerts_test.yml has for each alert a case in which it
// fires, and one in which it does not though what it looks at is there.
func TestEachAlertIsTested(t *testing.T) {
	var tests alertTests
	load(t, alertTestsFile, &tests)
	if !slices.Equal(tests.RuleFiles, []string{alertsFile}) {
		t.Errorf("rule_files %q, want %s", tests.RuleFiles, alertsFile)
	}
	recorded := map[string]string{}
	fires, quiet := map[string]bool{}, map[string]bool{}
	looksAt := map[string][]string{}
	for _, r := range loadRules(t) {
		if r.Record != "" {
			recorded[r.Record] = r.Expr
			continue
		}
		expr := r.Expr
		for name, is := range recorded {
			expr = strings.ReplaceAll(expr, name, is)
		}
		for _, s := range selectors(expr) {
			looksAt[r.Alert] = append(looksAt[r.Alert], s.name)
		}
	}
	for _, test := range tests.Tests {
		there := map[string]bool{}
		for _, input := range test.InputSeries {
			name, _, _ := strings.Cut(input.Series, "{")
			there[name] = true
		}
		for _, c := range test.Cases {
			switch {
			case looksAt[c.Alert] == nil:
				t.Errorf("%q tests %s, which is no alert", test.Name, c.Alert)
			case len(c.Alerts) > 0:
				fires[c.Alert] = true
			case slices.ContainsFunc(looksAt[c.Alert], func(name string) bool { return there[name] }):
				quiet[c.Alert] = true
			default:
				t.Errorf("%q: %s cannot fire, for none of %q is there", test.Name, c.Alert, looksAt[c.Alert])
			}
		}
	}
	for alert := range looksAt {
		if !fires[alert] || !quiet[alert] {
			t.Errorf("%s: a case that fires: %t; one that does not: %t", alert, fires[alert], quiet[alert])
		}
	}
}

// TestScrapeConfiguration: the example has the jobs that the alerts are about.
func TestScrapeConfiguration(t *testing.T) {
	config := scrapeConfig(t)
	var jobs []string
	for _, job := range config.Scrape {
		jobs = append(jobs, job.Name)
	}
	if !slices.Equal(jobs, []string{"authsvc", "tokenrefresher", "authsvc-content"}) {
		t.Errorf("jobs %q", jobs)
	}
	if !slices.Equal(config.RuleFiles, []string{alertsFile}) {
		t.Errorf("rule_files %q", config.RuleFiles)
	}
}

// A scrape is prometheus.yml, as far as the example has it.
type scrape struct {
	Global    map[string]string `yaml:"global"`
	RuleFiles []string          `yaml:"rule_files"`
	Scrape    []scrapeJob       `yaml:"scrape_configs"`
}

type scrapeJob struct {
	Name    string          `yaml:"job_name"`
	Targets []scrapeTargets `yaml:"static_configs"`
}

type scrapeTargets struct {
	Targets []string `yaml:"targets"`
}

func scrapeConfig(t *testing.T) scrape {
	t.Helper()
	var config scrape
	load(t, configFile, &config)
	return config
}

// absolute is the path of a file beside this one.
func absolute(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
