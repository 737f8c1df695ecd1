package front

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzParse: whatever is accepted names one object twice, and a path that can be
// sent to a registry as it is.
func FuzzParse(f *testing.F) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for _, path := range []string{"/v2/acme/appliance/blobs/" + digest, "/v2/a/manifests/" + digest, "/v2/a/manifests/1.0", "//x/v2/a/blobs/" + digest, "/v2/a/blobs/" + digest + "?"} {
		f.Add(http.MethodGet, path, "blob "+digest, "bytes=0-5", "ann")
	}
	f.Fuzz(func(t *testing.T, method, path, object, ranges, subject string) {
		r := &http.Request{Method: method, Header: http.Header{
			headerUpstream: {"main"}, headerPath: {path}, headerObject: {object}, "Authorization": {"Basic x"}, "Range": {ranges}, headerSubject: {subject},
		}}
		q, err := parse(r)
		if err != nil {
			return
		}
		if path, _, _ = strings.Cut(path, "?"); q.ID.String() != object || q.Path != path || !strings.HasSuffix(path, "s/"+q.ID.Digest.String()) || !strings.HasPrefix(path, "/v2/") {
			t.Errorf("%q and %q are %s", path, object, q.ID)
		}
		if strings.ContainsAny(path, "?#%\\ \r\n\x00") || strings.Contains(path, "//") || strings.Contains(path, "..") {
			t.Errorf("%q is accepted", path)
		}
		if strings.ContainsFunc(q.Subject, func(r rune) bool { return r < ' ' || r > '~' }) || len(q.Subject) > 255 {
			t.Errorf("the subject %q goes into the log", q.Subject)
		}
	})
}

// FuzzParseRange: a part is within the object, and written again it is the same.
func FuzzParseRange(f *testing.F) {
	for _, header := range []string{"bytes=0-5", "bytes=5-", "bytes=-5", "bytes=-0", "bytes=9-5", "bytes=0-1,3-4", "items=1-2", "bytes=99999999999999999999-", "bytes=-9223372036854775807"} {
		f.Add(header, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		s := parseRange(header)
		if s == nil || size < 0 {
			return
		}
		if again := parseRange(s.String()); again == nil || *again != *s {
			t.Errorf("%q is %+v, and written again %+v", header, s, again)
		}
		if p, ok := s.of(size); ok && (p.First < 0 || p.First > p.Last || p.Last >= size || p.Size != size) {
			t.Errorf("%q of %d bytes is %+v", header, size, p)
		}
	})
}
