package served_test

import (
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/content/served"
)

// FuzzParse: a datagram has a digest as its last word, or none.
func FuzzParse(f *testing.F) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for _, line := range []string{"<190>Nov 27 23:33:49 host nginx: " + digest, digest, digest + "\n", "<190>Nov 27 23:33:49 nginx: ", "", " ", "sha256: " + digest[7:]} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		d, ok := served.Parse(line)
		if ok && !strings.HasSuffix(strings.TrimRight(string(line), "\n"), d.String()) {
			t.Errorf("%q has the digest %s", line, d)
		}
	})
}

func TestParse(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for line, want := range map[string]bool{
		"<190>Nov 27 23:33:49 host nginx: " + digest:   true,
		"<190>Nov 27 23:33:49 nginx: " + digest + "\n": true,
		digest:                    true,
		digest + " ":              false,
		"nginx:" + digest:         false,
		strings.ToUpper(digest):   false,
		"":                        false,
		"<190>Nov 27 nginx: -":    false,
		digest[:len(digest)-1]:    false,
		digest + "0":              false,
		"/blobs/sha256/01/" + "x": false,
	} {
		if d, ok := served.Parse([]byte(line)); ok != want || ok && d.String() != digest {
			t.Errorf("%q: %s, %v", line, d, ok)
		}
	}
}
