package graph_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// fileOf is a file with one line, and with the right sum if it is whole.
func fileOf(line string, whole bool) string {
	text := `{"pullgate":"releases","version":1}` + "\n" + line + "\n"
	sum := sha256.Sum256([]byte(text))
	if !whole {
		sum[0]++
	}
	return fmt.Sprintf("%s%x\n", text, sum)
}

// FuzzFile: whatever a file holds, nothing panics, and without the right sum
// nothing is believed.
func FuzzFile(f *testing.F) {
	x, y := digest("x").String(), digest("y").String()
	f.Add(`{"repository":"h/a","tag":"1.0","had":[{"digest":"` + x + `","seen":1}]}`)
	f.Add(`{"repository":"h/a","manifest":"` + x + `","manifests":["` + x + `"],"blobs":["` + y + `"]}`)
	f.Add(`{"repository":"h/a","subject":"` + x + `","referrers":["` + x + `"]}`)
	f.Add(`{"repository":"h/a","tag":"1.0","gone":-1}`)
	f.Fuzz(func(t *testing.T, line string) {
		for _, whole := range []bool{true, false} {
			file := filepath.Join(t.TempDir(), "releases")
			if err := os.WriteFile(file, []byte(fileOf(line, whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			s := graph.New(100)
			if err := s.Load(file, time.Now()); !whole && (err == nil || s.Size() != 0) {
				t.Errorf("believed without a sum: %q, %v", line, err)
			}
			if err := s.Save(file); err != nil {
				t.Error(err)
			}
		}
	})
}
