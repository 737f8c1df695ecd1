package content_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/pullgate/pullgate/authsvc/content"
)

// TestNothingWrongIsDeliveredOrKept: whatever comes instead of a blob, no client
// gets it whole, and nothing of it is kept.
func TestNothingWrongIsDeliveredOrKept(t *testing.T) {
	flipped := func(body []byte, at int) []byte {
		other := slices.Clone(body)
		other[at] ^= 1
		return other
	}
	for name, wrong := range map[string]func(body []byte) fault{
		"a bit flipped at the start":  func(b []byte) fault { return fault{body: flipped(b, 0)} },
		"a bit flipped in the middle": func(b []byte) fault { return fault{body: flipped(b, len(b)/2)} },
		"a bit flipped at the end":    func(b []byte) fault { return fault{body: flipped(b, len(b)-1)} },
		"another blob's body":         func(b []byte) fault { return fault{body: bytesOf(len(b), 99)} },
		"a shorter body":              func(b []byte) fault { return fault{body: b[:len(b)-1]} },
		"a longer body":               func(b []byte) fault { return fault{body: append(slices.Clone(b), 0)} },
		"an empty body":               func([]byte) fault { return fault{body: []byte{}} },
		"an error of the storage":     func([]byte) fault { return fault{status: http.StatusInternalServerError} },
		"the storage refuses":         func([]byte) fault { return fault{status: http.StatusForbidden} },
		"nothing found":               func([]byte) fault { return fault{status: http.StatusNotFound} },
		"no length":                   func([]byte) fault { return fault{noLength: true} },
		"a compressed body":           func([]byte) fault { return fault{encoding: "gzip"} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			for _, size := range []int{1, 1000, 300_000} {
				body := bytesOf(size, uint64(size))
				w.fault = func(string, int) fault { return wrong(body) }
				path := w.blob(body)
				got := w.get(path)
				if got.err == nil && got.status < 500 {
					t.Errorf("status %d with %d bytes", got.status, len(got.body))
				}
				if got.status < 300 && fmt.Sprint(len(got.body)) == got.header.Get("Content-Length") {
					t.Errorf("got all %d bytes", len(got.body))
				}
				w.idle()
			}
			if found := w.final(); len(found) > 0 {
				t.Errorf("%d files are kept", len(found))
			}
			if names := w.temporary(); len(names) > 0 {
				t.Errorf("temporary files are left: %q", names)
			}
		})
	}
}

// TestSmallWrongBodyGoesThePlainWay: nginx can still redirect the client.
func TestSmallWrongBodyGoesThePlainWay(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(50_000, 1)
	w.fault = func(string, int) fault { return fault{body: bytesOf(50_000, 2)} }
	path := w.blob(body)
	if got := w.get(path); got.err != nil || got.status != http.StatusBadGateway || len(got.body) > 0 {
		t.Errorf("got status %d, %d bytes, %v", got.status, len(got.body), got.err)
	}
	if got := w.get(path); got.status != http.StatusServiceUnavailable {
		t.Errorf("right after it: status %d", got.status)
	}
	if n := w.requests("storage"); n != 1 {
		t.Errorf("a wrong body was asked for %d times in a row", n)
	}
}

const (
	index    = `{"schemaVersion":2,"manifests":[]}`
	image    = `{"schemaVersion":2,"config":{},"layers":[]}`
	ociIndex = "application/vnd.oci.image.index.v1+json"
	ociImage = "application/vnd.oci.image.manifest.v1+json"
	docker   = "application/vnd.docker.distribution.manifest.v2+json"
	list     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// typed is a manifest that says its media type.
func typed(media, rest string) string {
	return `{"schemaVersion":2,"mediaType":"` + media + `",` + rest + `}`
}

func TestManifests(t *testing.T) {
	w := newWorld(t, nil)
	for extension, m := range map[string]struct{ body, media string }{
		"oci-index":       {index, ociIndex},
		"oci-manifest":    {image, ociImage},
		"docker-list":     {typed(list, `"manifests":[]`), list},
		"docker-manifest": {typed(docker, `"config":{},"layers":[]`), docker + "; charset=utf-8"},
	} {
		path := w.manifest(m.body, m.media)
		for _, how := range []string{"cold", "warm"} {
			got := w.get(path)
			got.want(t, []byte(m.body))
			if media := got.header.Get("Content-Type"); media+"; charset=utf-8" != m.media && media != m.media {
				t.Errorf("%s: Content-Type %q, want %q", how, media, m.media)
			}
			w.stored(path)
		}
		if _, ok := w.final()[fileOf(path)+"."+extension]; !ok {
			t.Errorf("no file with extension %s", extension)
		}
	}
	before := w.requests("")
	w.restart(nil)
	for path := range w.objects {
		if got := w.get(path); got.status != http.StatusOK || got.header.Get("Content-Type") == "" {
			t.Errorf("after a restart: %d %v", got.status, got.header)
		}
	}
	if n := w.requests("") - before; n != 0 {
		t.Errorf("after a restart, %d requests", n)
	}
}

// TestCVE2021_41190: what two readers could take for two things is not kept.
func TestCVE2021_41190(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Fetch.MaxManifest = 1000 })
	for name, m := range map[string]struct{ body, media string }{
		"layers and manifests":           {`{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}`, ociImage},
		"the header contradicts":         {image, ociIndex},
		"the header is another's":        {image + "\n", docker},
		"the mediaType contradicts":      {typed(ociIndex, `"config":{},"layers":[]`), ociIndex},
		"the mediaType twice":            {typed(ociImage, `"mediaType":"`+ociIndex+`","config":{},"layers":[]`), ociImage},
		"the mediaType in other letters": {typed(ociImage, `"MediaType":"`+ociIndex+`","config":{},"layers":[]`), ociImage},
		"an unknown mediaType":           {typed("text/plain", `"config":{},"layers":[]`), "text/plain"},
		"an index with a config":         {`{"schemaVersion":2,"config":{},"manifests":[]}`, ociIndex},
		"no layers":                      {`{"schemaVersion":2,"config":{}}`, ociImage},
		"layers that are no list":        {`{"schemaVersion":2,"config":{},"layers":{}}`, ociImage},
		"schema 1":                       {`{"schemaVersion":1,"fsLayers":[]}`, "application/vnd.docker.distribution.manifest.v1+json"},
		"no schemaVersion":               {`{"config":{},"layers":[]}`, ociImage},
		"an artifact":                    {`{"schemaVersion":2,"blobs":[],"config":{},"layers":[]}`, ociImage},
		"two objects":                    {image + image, ociImage},
		"no object":                      {`[]`, ociImage},
		"cut off":                        {image[:len(image)-1], ociImage},
		"no JSON":                        {"<html>", ociImage},
		"empty":                          {"", ociImage},
		"too large":                      {typed(ociImage, `"config":{},"layers":[],"x":"`+string(bytes.Repeat([]byte("x"), 1000))+`"`), ociImage},
	} {
		path := w.manifest(m.body, m.media)
		if got := w.get(path); got.status != http.StatusBadGateway || len(got.body) > 0 {
			t.Errorf("%s: status %d with %d bytes", name, got.status, len(got.body))
		}
	}
	w.idle()
	if found := w.final(); len(found) > 0 {
		t.Errorf("%d files are kept", len(found))
	}
}
