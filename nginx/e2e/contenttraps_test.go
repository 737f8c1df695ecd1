package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// TestContentTraps: each of these lines avoids a trap of nginx, and without it the check
// fails.
func TestContentTraps(t *testing.T) {
	s := withContent(t, stack.Options{HTTP: "open_file_cache max=100; open_file_cache_valid 60s; open_file_cache_min_uses 1;"})
	push(t, s, "acme/appliance:1.0")
	layer := layerOf(t, "acme/appliance:1.0")
	blob, kept := "/v2/acme/appliance/blobs/"+layer, file(s, "blobs", layer, "")
	warm := func() error {
		get(t, s, blob)
		waitForFile(t, kept)
		if a := get(t, s, blob); a.status != http.StatusOK {
			return fmt.Errorf("warm: status %d", a.status)
		}
		return nil
	}
	for _, trap := range []struct {
		file, line string
		check      func() error
	}{
		{"parts/blobs/file.conf", "if_modified_since off;", func() error {
			if err := warm(); err != nil {
				return err
			}
			info, err := os.Stat(kept)
			if err != nil {
				return err
			}
			since := "If-Modified-Since: " + info.ModTime().UTC().Format(http.TimeFormat)
			if a := send(t, s, request{uri: blob, header: []string{since}}); a.status != http.StatusOK {
				return fmt.Errorf("since the file's time: status %d", a.status)
			}
			return nil
		}},
		{"parts/blobs/file.conf", "max_ranges        1;", func() error {
			if err := warm(); err != nil {
				return err
			}
			if a := send(t, s, request{uri: blob, header: []string{"Range: bytes=0-1,3-4"}}); a.status != http.StatusOK {
				return fmt.Errorf("two parts: status %d", a.status)
			}
			return nil
		}},
		{"parts/blobs/file.conf", "open_file_cache  off;", func() error {
			if err := warm(); err != nil {
				return err
			}
			if err := os.Remove(kept); err != nil {
				return err
			}
			if err := os.WriteFile(kept, []byte("another"), 0o644); err != nil { //nolint:gosec // as the store's files
				return err
			}
			defer func() { _ = os.Remove(kept) }()
			if a := get(t, s, blob); a.body != "another" {
				return errors.New("the file that went is still served")
			}
			return nil
		}},
	} {
		t.Run(strings.Fields(trap.line)[0], func(t *testing.T) {
			if err := trap.check(); err != nil {
				t.Errorf("as shipped: %v", err)
			}
			path := filepath.Join(s.Dir, "nginx", "registry", trap.file)
			shipped := readFile(t, path)
			without := strings.Replace(shipped, "\n"+trap.line, "\n", 1)
			if without == shipped {
				t.Fatalf("%s has no line %q", trap.file, trap.line)
			}
			writeFile(t, path, without)
			if err := s.ReloadNginx(t.Context()); err != nil {
				t.Fatal(err)
			}
			if trap.check() == nil {
				t.Error("without the line nothing is different")
			}
			writeFile(t, path, shipped)
			if err := s.ReloadNginx(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}
