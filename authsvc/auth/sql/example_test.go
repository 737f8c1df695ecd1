package sql_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/pullgate/pullgate/nginx/stack"
)

// TestExample: the example's queries fit the tables in its comments.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../examples/sql.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		Sources []struct{ Account, Grants string }
	}
	if err := yaml.Unmarshal(text, &example); err != nil {
		t.Fatal(err)
	}
	part := regexp.MustCompile(`(?s)# -- schema\n(.*)# -- end\n`).FindSubmatch(text)
	if len(part) != 2 || len(example.Sources) != 1 {
		t.Fatalf("%d sources, %d schemas", len(example.Sources), len(part))
	}
	tables := regexp.MustCompile(`(?m)^# ?`).ReplaceAllString(string(part[1]), "")
	each(t, func(w *world) {
		w.config.Account, w.config.Grants = example.Sources[0].Account, example.Sources[0].Grants
		drop := "DROP TABLE IF EXISTS licenses, tokens, customers"
		grant := "GRANT SELECT ON customers TO authsvc; GRANT SELECT ON tokens TO authsvc; GRANT SELECT ON licenses TO authsvc"
		if w.Driver == stack.MariaDB {
			tables = strings.ReplaceAll(tables, "timestamp", "datetime")
			w.config.Account = strings.ReplaceAll(w.config.Account, `"`, "`")
		}
		for _, statement := range []string{drop, tables, grant} {
			w.exec(statement)
		}
		if err := w.make().Check(w.Context()); err != nil {
			w.Error(err)
		}
		w.exec("INSERT INTO customers (id, email) VALUES ('cus_1', 'ann@acme.example')")
		w.exec("INSERT INTO tokens (customer, name, hash) VALUES ('cus_1', 'ci', '" + token("the-token") + "')")
		w.exec("INSERT INTO licenses (id, customer, repository, tags) VALUES ('lic', 'cus_1', 'vendor/appliance', '1.* latest')")
		decision, err := w.ask("ann@acme.example", "the-token")
		if want := "vendor/appliance:1.* never lic, vendor/appliance:latest never lic"; err != nil || describe(decision.Grants) != want || decision.User != "ann@acme.example" {
			w.Errorf("%+v, %q, %v; want %q", decision, describe(decision.Grants), err, want)
		}
		w.exec("DELETE FROM licenses")
		w.exec("DELETE FROM tokens")
		w.exec("DELETE FROM customers")
	})
}
