package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples: each example is a valid configuration. The files that it names are
// those in examples/files, and any secret's.
func TestExamples(t *testing.T) {
	files, err := filepath.Abs("examples/files")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, example := range examples {
		t.Run(filepath.Base(example), func(t *testing.T) {
			text, err := os.ReadFile(example)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "authsvc.yaml")
			text = []byte(strings.ReplaceAll(string(text), "/etc/authsvc/files/", files+"/"))
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := run(t.Context(), []string{"check-config", "--config", file}, nil, io.Discard, io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
}
