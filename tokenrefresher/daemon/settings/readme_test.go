package settings_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	authsvc "github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/content"
	tokenrefresher "github.com/pullgate/pullgate/tokenrefresher/config"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

var update = flag.Bool("update", false, "write the tables into the READMEs")

// TestReadme: each program's README has a table of every setting, as the
// program has it. `go test ./tokenrefresher/daemon/settings -update` writes them.
func TestReadme(t *testing.T) {
	program, registry := tokenrefresher.Tables()
	store, storeUpstream := content.Tables()
	type place struct {
		readme string
		table  settings.Table
	}
	places := map[string]place{
		"authsvc":           {"authsvc/README.md", authsvc.Table()},
		"tokenrefresher":    {"tokenrefresher/README.md", program},
		"registries":        {"tokenrefresher/README.md", registry},
		"sources":           {"authsvc/README.md", authsvc.SourceTable()},
		"upstreams":         {"authsvc/README.md", authsvc.UpstreamTable()},
		"content":           {"authsvc/content/README.md", store},
		"content-upstreams": {"authsvc/content/README.md", storeUpstream},
	}
	for _, kind := range authsvc.Kinds() {
		if kind.Name != "kloudless" { // whose keys are in the program's table
			places[kind.Name] = place{"authsvc/README.md", kind.Keys}
		}
	}
	for name, at := range places {
		file := "../../../" + at.readme
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		section := regexp.MustCompile(`(?s)(<!-- settings:` + name + ` -->\n).*?(<!-- end -->)`)
		if n := len(section.FindAll(text, -1)); n != 1 {
			t.Fatalf("%s has %d places for the settings of %s, want 1", at.readme, n, name)
		}
		want := section.ReplaceAllStringFunc(string(text), func(found string) string {
			parts := section.FindStringSubmatch(found)
			return parts[1] + "\n" + markdown(at.table) + "\n" + parts[2]
		})
		switch {
		case want == string(text):
		case !*update:
			t.Errorf("the table in %s is not the program's; run go test ./tokenrefresher/daemon/settings -update", at.readme)
		default:
			if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestExamplesShowEveryKey, as their first lines say. The keys of registries
// are tokenrefresher/config's to check.
func TestExamplesShowEveryKey(t *testing.T) {
	program, _ := tokenrefresher.Tables()
	store, _ := content.Tables()
	for file, table := range map[string]settings.Table{
		"authsvc/authsvc.example.yaml": authsvc.Table(), "tokenrefresher/tokenrefresher.example.yaml": program,
		"authsvc/content/content.example.yaml": store,
	} {
		text, err := os.ReadFile("../../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		var example any
		if err := yaml.Unmarshal(text, &example); err != nil {
			t.Fatal(err)
		}
		for _, key := range table.Keys() {
			value := example
			for name := range strings.SplitSeq(key, ".") {
				section, _ := value.(map[string]any)
				value = section[name]
			}
			if value == nil {
				t.Errorf("%s does not show %s", file, key)
			}
		}
	}
}

func markdown(table settings.Table) string {
	var b strings.Builder
	b.WriteString("| Key | Default | |\n| --- | --- | --- |\n")
	for _, s := range table {
		value := "–"
		if text := fmt.Sprint(s.Default); text != "" {
			value = "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Key, value, strings.ReplaceAll(s.Help(), "|", `\|`))
	}
	return b.String()
}
