package ecr

import (
	"fmt"
	"net/http"
)

// passed are the client headers that matter to a registry. Accept may have several
// lines.
var passed = []string{"Accept", "If-None-Match", "Range", "If-Range"}

// do requests path from the backend on behalf of r, with the backend's own
// credential.
func (b Backend) do(r *http.Request, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(r.Context(), method, b.URL.JoinPath(path).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking the backend for %s: %w", path, err)
	}
	copyHeaders(req.Header, r.Header, passed...)
	// Otherwise the transport requests gzip and drops the length.
	req.Header.Set("Accept-Encoding", "identity")
	req.SetBasicAuth(b.User, b.Password)
	resp, err := b.Transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("asking the backend for %s: %w", path, err)
	}
	return resp, nil
}

func copyHeaders(to, from http.Header, names ...string) {
	for _, name := range names {
		if values := from.Values(name); len(values) > 0 {
			to[http.CanonicalHeaderKey(name)] = values
		}
	}
}
