package content_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/warm"
)

// release puts an image for two platforms, which share a layer, under a tag. It
// returns how many objects it has.
func (w *world) release(tag string) int {
	shared := bytesOf(300_000, 1)
	w.blob(shared)
	var manifests []string
	for i := range uint64(2) {
		own, config := bytesOf(1000, 10+i), fmt.Appendf(nil, `{"architecture":"%d"}`, i)
		w.blob(own)
		w.blob(config)
		path := w.manifest(typed(ociImage, fmt.Sprintf(`"config":{"digest":"%s"},"layers":[{"digest":"%s"},{"digest":"%s"},{"digest":"%s","urls":["https://elsewhere.example"]}]`,
			sha256Of(config), sha256Of(shared), sha256Of(own), sha256Of([]byte("foreign")))), ociImage)
		manifests = append(manifests, `{"digest":"`+path[strings.LastIndexByte(path, '/')+1:]+`"}`)
	}
	body := typed(ociIndex, `"manifests":[`+strings.Join(manifests, ",")+`]`)
	w.manifest(body, ociIndex)
	w.put("/v2/acme/appliance/manifests/"+tag, thing{body: []byte(body), media: ociIndex})
	return 1 + 2 + 1 + 2*2
}

// TestWarm fetches all that a tag reaches, once each.
func TestWarm(t *testing.T) {
	w := newWorld(t, nil)
	objects := w.release("1.9")
	options := w.config.Origin
	options.Metrics = prometheus.NewRegistry()
	client, err := origin.New(options)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var last warm.Progress
	o := warm.Options{
		Socket: strings.TrimPrefix(w.config.Listen.Address, "unix:"), Origin: client, Upstream: "main", Authorization: token,
		Wait: time.Millisecond, Progress: func(p warm.Progress) { last = p },
	}
	// The storage fails once.
	w.fault = func(_ string, n int) fault {
		if n == 0 {
			return fault{cut: 100}
		}
		return fault{}
	}
	total, err := warm.Image(t.Context(), o, "acme/appliance:1.9")
	if err != nil || total.Done != objects || total.Known != objects || total != last {
		t.Fatalf("%+v, last %+v, %v; want %d objects", total, last, err, objects)
	}
	w.idle()
	if found := w.final(); len(found) != objects {
		t.Errorf("%d files, want %d", len(found), objects)
	}
	before := w.requests("")
	if total, err := warm.Image(t.Context(), o, "acme/appliance:1.9"); err != nil || total.Done != objects {
		t.Errorf("again: %+v, %v", total, err)
	}
	if n := w.requests("") - before; n != 1 {
		t.Errorf("again, %d requests; want one for the tag", n)
	}
	w.mu.Lock()
	w.status = func(path string) int {
		if strings.Contains(path, "/blobs/") {
			return http.StatusForbidden
		}
		return 0
	}
	w.mu.Unlock()
	w.drop("/" + sha256Of(bytesOf(300_000, 1)))
	for image, want := range map[string]string{
		"acme/appliance:1.9": "expected status 200, found 403",
		"acme/appliance:2.0": "status 404",
		"acme/Appliance:1.9": "expected REPOSITORY:TAG",
	} {
		if _, err := warm.Image(t.Context(), o, image); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", image, err, want)
		}
	}
}
