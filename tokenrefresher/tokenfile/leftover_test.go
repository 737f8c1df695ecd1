package tokenfile_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// names returns what is in the folder.
func names(t *testing.T, dir string) (found []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

// TestLeftovers: 15 of 212 kill -9 left a temporary file with a whole token.
func TestLeftovers(t *testing.T) {
	stay := []string{".main.json", ".main.json-1", ".main.json7", ".main.jsonx1", ".other.json1", "main.json", "main.json1"}
	for name, remove := range map[string]func(path string) error{
		"at the start":   tokenfile.RemoveLeftovers,
		"before a write": func(path string) error { return tokenfile.Write(path, token("p")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "main.json")
			for _, name := range append(stay, ".main.json1", ".main.json3141592653") {
				if name == ".main.json7" { // what is not a file is not ours
					if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
						t.Fatal(err)
					}
				} else if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			writer, err := os.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Flock(int(writer.Fd()), syscall.LOCK_SH); err != nil {
				t.Fatal(err)
			}
			if err := remove(path); err != nil {
				t.Fatal(err)
			}
			if found := names(t, dir); len(found) != len(stay)+2 {
				t.Errorf("while somebody writes there is %q, want all", found)
			}
			if err := writer.Close(); err != nil {
				t.Fatal(err)
			}
			if err := remove(path); err != nil {
				t.Fatal(err)
			}
			if found := names(t, dir); !slices.Equal(found, stay) {
				t.Errorf("left: %q, want %q", found, stay)
			}
		})
	}
}

// TestNoFolderNoLeftovers: a first start is before there is a folder.
func TestNoFolderNoLeftovers(t *testing.T) {
	if err := tokenfile.RemoveLeftovers(filepath.Join(t.TempDir(), "none", "main.json")); err != nil {
		t.Error(err)
	}
}

const killedWriter = "TOKENFILE_TEST_WRITES"

// TestKilledWritersLeaveNothing kills a process that writes all the time, and
// has the next one remove what it left.
func TestKilledWritersLeaveNothing(t *testing.T) {
	if path := os.Getenv(killedWriter); path != "" {
		for n := 0; ; n++ {
			if err := tokenfile.Write(path, token(strings.Repeat(strconv.Itoa(n%10), 2000))); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "main.json")
	left := 0
	for n := range 30 {
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // this very test
		cmd.Env = append(os.Environ(), killedWriter+"="+path)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(path); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the writer never wrote: %s", out.String())
			}
		}
		time.Sleep(time.Duration(n) * 100 * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		left += len(names(t, dir)) - 1
		if err := tokenfile.RemoveLeftovers(path); err != nil {
			t.Fatal(err)
		}
		if found := names(t, dir); !slices.Equal(found, []string{"main.json"}) {
			t.Fatalf("left after kill %d: %q", n, found)
		}
		if _, err := tokenfile.Read(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("30 kills left %d files, all of them removed", left)
}
