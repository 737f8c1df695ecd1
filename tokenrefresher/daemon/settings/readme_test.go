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
	tokenrefresher "github.com/pullgate/pullgate/tokenrefresher/config"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

const readme = "../../../README.md"

var update = flag.Bool("update", false, "write the tables into README.md")

// TestReadme: README.md has a table of every setting of both programs, as the
// programs have it. `go test ./tokenrefresher/daemon/settings -update` writes them.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	program, registry := tokenrefresher.Tables()
	want := string(text)
	for name, table := range map[string]settings.Table{
		"authsvc": authsvc.Table(), "tokenrefresher": program, "registries": registry,
	} {
		section := regexp.MustCompile(`(?s)(<!-- settings:` + name + ` -->\n).*?(<!-- end -->)`)
		if !section.MatchString(want) {
			t.Fatalf("README.md has no place for the settings of %s", name)
		}
		want = section.ReplaceAllStringFunc(want, func(found string) string {
			parts := section.FindStringSubmatch(found)
			return parts[1] + "\n" + markdown(table) + "\n" + parts[2]
		})
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("README.md's tables are not the programs'; go test ./tokenrefresher/daemon/settings -update")
	}
	if err := os.WriteFile(readme, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestExamplesShowEveryKey, as their first lines say. The keys of registries
// are tokenrefresher/config's to check.
func TestExamplesShowEveryKey(t *testing.T) {
	program, _ := tokenrefresher.Tables()
	for file, table := range map[string]settings.Table{
		"authsvc/authsvc.example.yaml": authsvc.Table(), "tokenrefresher/tokenrefresher.example.yaml": program,
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
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Key, value, strings.ReplaceAll(s.Usage, "|", `\|`))
	}
	return b.String()
}
