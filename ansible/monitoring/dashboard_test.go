package monitoring_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	promql "github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// columns is the width of Grafana's grid.
const columns = 24

// A board is a dashboard as Grafana 10 and 11 import it. The preferred type is for
// Grafana 12.
type board = dashboard.Dashboard //nolint:staticcheck // likewise

// loadDashboard decodes the file with Grafana's schema, not strictly.
func loadDashboard(t *testing.T) (text []byte, d board) {
	t.Helper()
	plugins.RegisterDefaultPlugins() // or the panels' options are taken as they come
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return text, d
}

// panels returns all panels except rows.
func panels(t *testing.T, d board) []dashboard.Panel {
	t.Helper()
	var all []dashboard.Panel
	for _, p := range d.Panels {
		if p.Panel != nil {
			all = append(all, *p.Panel)
		}
	}
	if len(all) == 0 {
		t.Fatal("expected panels, found none")
	}
	return all
}

// queries are a panel's targets.
func queries(t *testing.T, p dashboard.Panel) []*promql.Dataquery {
	t.Helper()
	var all []*promql.Dataquery
	for _, target := range p.Targets {
		query, ok := target.(*promql.Dataquery)
		if !ok {
			t.Fatalf("panel %q: a target that is not Prometheus': %+v", text(p.Title), target)
		}
		all = append(all, query)
	}
	return all
}

// TestDashboardIsGrafanas: no field is unknown to Grafana or has another type,
// and none is lost when Grafana writes what it has read.
func TestDashboardIsGrafanas(t *testing.T) {
	text, d := loadDashboard(t)
	if err := invalid(text); err != nil {
		t.Errorf("strictly: %v", err)
	}
	if err := d.Validate(); err != nil {
		t.Errorf("by Grafana's rules: %v", err)
	}
	written, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, lost := range missing("", decoded(t, text), decoded(t, written)) {
		t.Errorf("Grafana does not keep %s", lost)
	}
}

// TestDashboardIsCheckedStrictly: the check in TestDashboardIsGrafanas finds mistakes
// at each depth.
func TestDashboardIsCheckedStrictly(t *testing.T) {
	text, _ := loadDashboard(t)
	for what, edit := range map[string][2]string{
		"unknown field":             {`"schemaVersion":`, `"schemaversion":`},
		"unknown field of a panel":  {`"description":`, `"text":`},
		"unknown field of options":  {`"graphMode":`, `"graph":`},
		"unknown field of a target": {`"legendFormat":`, `"legend":`},
		"unknown field of a line":   {`"drawStyle":`, `"draw":`},
		"number as text":            {`"schemaVersion": 39`, `"schemaVersion": "39"`},
	} {
		broken := strings.ReplaceAll(string(text), edit[0], edit[1])
		if broken == string(text) {
			t.Errorf("%s: the dashboard has no %s", what, edit[0])
		}
		if err := invalid([]byte(broken)); err == nil {
			t.Errorf("%s: not found", what)
		}
	}
	// Wrong colors, units and thresholds are not errors, but are lost.
	broken := []byte(strings.ReplaceAll(string(text), `"thresholds":`, `"threshold":`))
	var d board
	if err := json.Unmarshal(broken, &d); err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if len(missing("", decoded(t, broken), decoded(t, written))) == 0 {
		t.Error("an unknown field of fieldConfig: not found")
	}
}

// invalid decodes a dashboard strictly. UnmarshalJSONStrict returns a list of
// errors, which is not nil even if it is empty.
func invalid(text []byte) error {
	err := new(board).UnmarshalJSONStrict(text)
	var all cog.BuildErrors
	if errors.As(err, &all) && len(all) == 0 {
		return nil
	}
	return err
}

func decoded(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// missing lists what is in want but missing or different in got. An empty list
// equals none.
func missing(path string, want, got any) (lost []string) {
	switch want := want.(type) {
	case map[string]any:
		object, _ := got.(map[string]any)
		for key, value := range want {
			lost = append(lost, missing(path+"."+key, value, object[key])...)
		}
		return lost
	case []any:
		list, _ := got.([]any)
		if len(list) != len(want) {
			return []string{fmt.Sprintf("%s: %d of %d", path, len(list), len(want))}
		}
		for i := range want {
			lost = append(lost, missing(fmt.Sprintf("%s[%d]", path, i), want[i], list[i])...)
		}
		return lost
	}
	if !reflect.DeepEqual(want, got) {
		return []string{fmt.Sprintf("%s: %v becomes %v", path, want, got)}
	}
	return nil
}

// TestDashboardCanBeImported: it belongs to no installation.
func TestDashboardCanBeImported(t *testing.T) {
	_, d := loadDashboard(t)
	if d.Id != nil || len(d.Links) > 0 || d.SchemaVersion != 39 {
		t.Errorf("id %v, links %v, schemaVersion %d (39 is that of Grafana 10.4 and 11)", d.Id, d.Links, d.SchemaVersion)
	}
	kinds := map[string]dashboard.VariableType{}
	for _, v := range d.Templating.List {
		kinds[v.Name] = v.Type
		if v.Type == dashboard.VariableTypeQuery && !chosen(v.Datasource) {
			t.Errorf("the variable %s asks %v, want the data source that was chosen", v.Name, v.Datasource)
		}
	}
	want := map[string]dashboard.VariableType{"datasource": dashboard.VariableTypeDatasource, "instance": dashboard.VariableTypeQuery}
	if !reflect.DeepEqual(kinds, want) {
		t.Errorf("variables %v, want %v", kinds, want)
	}
}

// TestPanels: each panel says what it shows and in which unit, and uses the selected
// data source.
func TestPanels(t *testing.T) {
	known := map[string]bool{units.Number: true, units.Short: true, units.Seconds: true,
		units.PercentUnit: true, units.BytesIEC: true, units.BytesPerSecondIEC: true, units.RequestsPerSecond: true}
	_, d := loadDashboard(t)
	for _, p := range panels(t, d) {
		name := text(p.Title)
		if name == "" || text(p.Description) == "" || len(p.Targets) == 0 || p.FieldConfig == nil || p.Options == nil {
			t.Errorf("panel %q lacks a title, a description, a target, options or their fields", name)
			continue
		}
		defaults := p.FieldConfig.Defaults
		if !known[text(defaults.Unit)] || defaults.Thresholds == nil || len(defaults.Thresholds.Steps) == 0 {
			t.Errorf("panel %q: unit %q, thresholds %v", name, text(defaults.Unit), defaults.Thresholds)
		}
		if !chosen(p.Datasource) || len(p.Links) > 0 {
			t.Errorf("panel %q: data source %v, links %v", name, p.Datasource, p.Links)
		}
		for _, query := range queries(t, p) {
			if !chosen(query.Datasource) || text(query.LegendFormat) == "" || !strings.Contains(query.Expr, `instance=~"$instance"`) {
				t.Errorf("panel %q: target %+v", name, query)
			}
		}
	}
}

// TestGrid: ids are unique, and panels neither overlap nor leave the grid.
func TestGrid(t *testing.T) {
	_, d := loadDashboard(t)
	taken := map[[2]uint32]string{}
	ids := map[uint32]bool{}
	for _, p := range d.Panels {
		var title string
		var id uint32
		var at *dashboard.GridPos
		if p.RowPanel != nil {
			title, id, at = text(p.RowPanel.Title), p.RowPanel.Id, p.RowPanel.GridPos
		} else {
			title, at = text(p.Panel.Title), p.Panel.GridPos
			if p.Panel.Id != nil {
				id = *p.Panel.Id
			}
		}
		if title == "" || id == 0 || ids[id] || at == nil || at.W == 0 || at.H == 0 || at.X+at.W > columns {
			t.Errorf("panel %q: id %d (taken: %t), at %+v", title, id, ids[id], at)
			continue
		}
		ids[id] = true
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if other := taken[[2]uint32{x, y}]; other != "" {
					t.Fatalf("panels %q and %q overlap at column %d, line %d", title, other, x, y)
				}
				taken[[2]uint32{x, y}] = title
			}
		}
	}
}

func chosen(d *common.DataSourceRef) bool {
	return d != nil && text(d.Type) == "prometheus" && text(d.Uid) == "${datasource}"
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
