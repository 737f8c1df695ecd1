package program_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

func run(args ...string) (string, error) {
	root := &cobra.Command{Use: "example", Short: "Be one", Long: "What an example is.", RunE: func(*cobra.Command, []string) error { return nil }}
	root.PersistentFlags().String("cache.ttl", "60s", "how long")
	root.AddCommand(program.Commands()...)
	var out bytes.Buffer
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.Execute()
	return out.String(), err
}

func TestVersion(t *testing.T) {
	out, err := run("version")
	if err != nil || !strings.HasPrefix(out, "example, development, built with go1.") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestManual(t *testing.T) {
	dir := t.TempDir()
	if out, err := run("man", dir); err != nil {
		t.Fatal(err, out)
	}
	page, err := os.ReadFile(filepath.Join(dir, "example.8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"EXAMPLE" "8"`, "example development", "What an example is.", "--cache.ttl", "example-version(8)"} {
		if !strings.Contains(strings.ReplaceAll(string(page), `\-`, "-"), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if _, err := run("man", filepath.Join(dir, "none")); err == nil {
		t.Error("wrote into a folder that is not there")
	}
}
