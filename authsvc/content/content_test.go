package content_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestColdThenWarm: the first request fetches, and from then on nobody is asked.
func TestColdThenWarm(t *testing.T) {
	w := newWorld(t, nil)
	for name, size := range map[string]int{"empty": 0, "one byte": 1, "small": 1000, "large": 3 << 20} {
		t.Run(name, func(t *testing.T) {
			body := bytesOf(size, uint64(size))
			path := w.blob(body)
			cold := w.get(path)
			cold.want(t, body)
			for header, want := range map[string]string{
				"Content-Type": "application/octet-stream", "Docker-Content-Digest": sha256Of(body),
				"Etag": `"` + sha256Of(body) + `"`, "Accept-Ranges": "bytes",
			} {
				if got := cold.header.Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			w.stored(path)
			w.idle()
			before := w.requests("")
			w.get(path).want(t, body)
			if n := w.requests("") - before; n != 0 {
				t.Errorf("a warm request asked %d times", n)
			}
			info, err := os.Stat(filepath.Join(w.config.Folder, fileOf(path)))
			if err != nil || info.Mode() != 0o640 {
				t.Errorf("the file's mode is %v, %v", info.Mode(), err)
			}
		})
	}
	if names := w.temporary(); len(names) > 0 {
		t.Errorf("temporary files are left: %q", names)
	}
	w.final()
}

func TestSHA512(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(100_000, 5)
	path := "/v2/acme/appliance/blobs/" + sha512Of(body)
	w.put(path, thing{body: body})
	w.get(path).want(t, body)
	w.stored(path)
	w.final()
}

// TestManyShareOneFetch: each gets what is there already, and whoever leaves takes
// nothing from the others.
func TestManyShareOneFetch(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(2<<20, 1)
	path := w.blob(body)
	half := len(body) / 2
	until := make(chan struct{})
	w.fault = func(string, int) fault { return fault{pause: int64(half), until: until} }

	var begun, done sync.WaitGroup
	for i := range 20 {
		begun.Add(1)
		done.Go(func() {
			response, err := w.client.Do(w.question(t.Context(), http.MethodGet, path))
			if err != nil {
				t.Error(err)
				begun.Done()
				return
			}
			defer response.Body.Close()
			got := make([]byte, half)
			if _, err := io.ReadFull(response.Body, got); err != nil {
				t.Error(err)
			}
			begun.Done()
			if i%4 == 0 {
				return // leaves
			}
			rest, err := io.ReadAll(response.Body)
			answer{response.StatusCode, response.Header, append(got, rest...), err}.want(t, body)
		})
	}
	begun.Wait()
	close(until)
	done.Wait()
	w.stored(path)
	if n := w.requests("storage"); n != 1 {
		t.Errorf("the storage was asked %d times", n)
	}
	w.final()
}
