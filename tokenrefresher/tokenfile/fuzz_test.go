package tokenfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// FuzzParse: what parses can be written again and is the same then, fits into
// a header, and nothing that is refused tells of the token.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"host":"a.example.com:5000","token":"QVdTOnA=","expiresAt":"2026-11-24T06:00:00Z","fetchedAt":"2026-11-23T18:00:00Z"}`,
		`{"version":1,"host":"a","token":"QVdTOnA=","fetchedAt":"2026-11-23T18:00:00.123456789+01:00"}`,
		`{"version":1,"host":"a","token":"QVdTOnA=","fetchedAt":"9999-12-31T23:59:59-01:00"}`,
		`{"version":1,"host":"a","token":"QVdT`, `{"VERSION":1}`, `[]`, ``, `{"version":1e0}`, `{"QVdTOnA=":1}`,
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "main.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		token, err := tokenfile.Parse(data)
		if err != nil {
			// A host's error quotes the host.
			if strings.Contains(err.Error(), "QVdTOnA") && !strings.HasPrefix(err.Error(), "host: ") {
				t.Errorf("the error tells of the token: %v", err)
			}
			return
		}
		for _, header := range []string{token.Host, token.Authorization()} {
			if strings.ContainsFunc(header, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Errorf("not for a header: %q", header)
			}
		}
		if err := tokenfile.Write(path, token); err != nil {
			t.Fatalf("parsed, but not written: %v", err)
		}
		again, err := tokenfile.Read(path)
		if err != nil || !again.Equal(token) {
			written, _ := os.ReadFile(path)
			t.Errorf("written as %s, read as %+v, %v", written, again, err)
		}
		_ = token.Usable(time.Now())
	})
}
