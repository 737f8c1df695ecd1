package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// fileRounds is how often each way of serving files is measured.
const fileRounds = 9

// A blob is a file of the content store. Its size is in MB.
type blob struct {
	size int
	id   object.ID
}

// sizes are those of the measured blobs, in MB.
var sizes = []int{1, 32, 512}

// A front is an nginx with other settings than the rig's.
type front struct {
	*rig
	Prefix string
	Port   int
	nginx  *process
}

// measureFiles compares files of the content store, which somebody has pulled before, to
// bare nginx proxying the registry and to the same files without authorization.
func measureFiles(ctx context.Context, stdout io.Writer) (figures, error) {
	fmt.Fprintf(stdout, "files: %d rounds for each setup\n", fileRounds)
	folder, err := os.MkdirTemp("", "bench-files-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	blobs, err := writeBlobs(folder)
	if err != nil {
		return nil, err
	}
	var digests []string
	for _, b := range blobs {
		digests = append(digests, b.id.Digest.String())
	}
	r, err := newRig(ctx, digests...)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := os.Mkdir(r.decisions(), 0o700); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(r.decisions()) }()
	if err := os.Rename(folder, filepath.Join(r.Dir, "files")); err != nil {
		return nil, err
	}
	if err := r.writeManifest(); err != nil {
		return nil, err
	}
	fronts := map[string]*front{}
	for name, settings := range map[string][]setting{
		"files": filesSettings(r), "files, cached": append(filesSettings(r), cachedSettings(r, "files")...), "redirect, cached": cachedSettings(r, "redirect"),
	} {
		f, err := r.newFront(ctx, strings.NewReplacer(", ", "-").Replace(name), settings)
		if err != nil {
			return nil, err
		}
		defer f.nginx.stop()
		fronts[name] = f
	}
	all, err := r.measureManifests(ctx, stdout, fronts)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, r.logs())
	}
	if err := r.measureBlobs(ctx, stdout, fronts["files"], blobs, all); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, r.logs())
	}
	return all, nil
}

// writeBlobs writes blobs of random bytes where the content store would have them.
func writeBlobs(folder string) (blobs []blob, err error) {
	for _, size := range sizes {
		hash := object.NewSHA256()
		temporary := filepath.Join(folder, "incoming")
		file, err := os.Create(temporary)
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.MultiWriter(file, hash), rand.Reader, int64(size)<<20); err != nil {
			return nil, err
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
		b := blob{size, object.ID{Kind: object.Blob, Digest: object.SHA256(hash)}}
		path := filepath.Join(folder, b.path())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.Rename(temporary, path); err != nil {
			return nil, err
		}
		blobs = append(blobs, b)
	}
	return blobs, nil
}

// path is where the blob is in the content store's folder.
func (b blob) path() string { return object.Path(b.id, "") }

// writeManifest writes the rig's manifest there.
func (r *rig) writeManifest() error {
	digest, _ := object.ParseDigest(r.Digest) // it is a digest
	path := filepath.Join(r.Dir, "files", object.Path(object.ID{Kind: object.Manifest, Digest: digest}, object.OCIManifest))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(r.Manifest), 0o644)
}

func filesSettings(r *rig) []setting {
	return []setting{
		{"blobs.conf", "\ninclude registry/parts/blobs/redirect.conf;\n#include", "\n#include registry/parts/blobs/redirect.conf;\ninclude"},
		{"content-files.conf", "/var/lib/authsvc-content", filepath.Join(r.Dir, "files")},
	}
}

// decisions is the folder of cached decisions, in memory.
func (r *rig) decisions() string { return "/dev/shm/" + filepath.Base(r.Dir) }

func cachedSettings(r *rig, name string) []setting {
	return []setting{
		{"decisions.conf", "\nproxy_cache off;\n#include", "\n#proxy_cache off;\ninclude"},
		{"decision-cache.conf", "\n#proxy_cache_path", "\nproxy_cache_path"},
		{"decision-cache.conf", "\n#     ", "\n      "},
		{"decision-cache.conf", "/run/nginx-registry-decisions", filepath.Join(r.decisions(), name)},
	}
}

// newFront starts an nginx with settings of its own.
func (r *rig) newFront(ctx context.Context, name string, settings []setting) (*front, error) {
	f := &front{rig: r, Prefix: filepath.Join(r.Dir, name)}
	var err error
	if f.Port, err = freePort(); err != nil {
		return nil, err
	}
	if err := os.CopyFS(filepath.Join(f.Prefix, "registry"), os.DirFS(filepath.Join(r.Dir, "registry"))); err != nil {
		return nil, err
	}
	if err := changeSettings(f.Prefix, settings); err != nil {
		return nil, err
	}
	conf := filepath.Join(f.Prefix, "nginx.conf")
	if err := render("front.conf", conf, f); err != nil {
		return nil, err
	}
	if f.nginx, err = start(ctx, f.Prefix, "nginx", "-p", f.Prefix, "-c", conf, "-e", "stderr"); err != nil {
		return nil, err
	}
	if err := r.waitForPort(ctx, f.Port); err != nil {
		f.nginx.stop()
		return nil, fmt.Errorf("%w\n%s", err, f.nginx.output.Bytes())
	}
	return f, nil
}

// measureManifests measures requests of a manifest by tag.
func (r *rig) measureManifests(ctx context.Context, stdout io.Writer, fronts map[string]*front) (figures, error) {
	ways := map[string]*way{"bare nginx": {name: "bare nginx", port: r.Bare, processes: []*process{r.nginx}}}
	order := []*way{ways["bare nginx"]}
	for _, name := range []string{"files", "files, cached", "redirect, cached"} {
		ways[name] = &way{name: name, port: fronts[name].Port, processes: []*process{fronts[name].nginx, r.authsvc}}
		order = append(order, ways[name])
	}
	for range fileRounds {
		for _, w := range order {
			if err := w.measure(ctx, r.script(), seconds); err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	of := func(name string) float64 { return ratio(ways[name].requests, ways["bare nginx"].requests) }
	return figures{
		"warm_manifest_ratio_bare":        of("files"),
		"warm_manifest_cached_ratio_bare": of("files, cached"),
		"microcache_ratio_bare":           of("redirect, cached"),
	}, showWays(stdout, order)
}

var wrkBytes = regexp.MustCompile(`Transfer/sec:\s+([\d.]+)([KMGT]?)B`)

// A transfer is what was measured of one way to serve a blob: MB per second, and CPU
// seconds per GB.
type transfer struct{ rates, cpu []float64 }

// measureBlobs measures bytes per second of blobs, to the same files without
// authorization.
func (r *rig) measureBlobs(ctx context.Context, stdout io.Writer, f *front, blobs []blob, all figures) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nBLOB\tMB/S\tWITHOUT AUTHORIZATION\tCPU s / GB\tWITHOUT AUTHORIZATION")
	least := 0.0
	for _, b := range blobs {
		if err := f.waitForBlob(ctx, b); err != nil {
			return err
		}
		var with, without transfer
		for range fileRounds {
			if err := with.measure(ctx, r, f, "/v2/acme/appliance/blobs/"+b.id.Digest.String(), r.authsvc); err != nil {
				return err
			}
			if err := without.measure(ctx, r, f, "/"+b.path()); err != nil {
				return err
			}
		}
		reached := ratio(with.rates, without.rates)
		if least == 0 || reached < least {
			least = reached
		}
		if b.size == 32 {
			all["warm_blob_cpu_ratio"] = ratio(with.cpu, without.cpu)
		}
		fmt.Fprintf(w, "%d MB\t%.0f\t%.0f\t%.3f\t%.3f\n", b.size, median(with.rates), median(without.rates), median(with.cpu), median(without.cpu))
	}
	all["warm_blob_ratio_sendfile"] = least
	return w.Flush()
}

// measure runs wrk once. also are processes that work besides the front.
func (t *transfer) measure(ctx context.Context, r *rig, f *front, path string, also ...*process) error {
	processes := append([]*process{f.nginx}, also...)
	before, err := cpuSeconds(processes)
	if err != nil {
		return err
	}
	out, err := wrk(ctx, r.script(), fmt.Sprintf("http://127.0.0.1:%d%s", f.Port, path), 8, seconds)
	if err != nil {
		return err
	}
	after, err := cpuSeconds(processes)
	if err != nil {
		return err
	}
	rate, err := number(wrkBytes, out)
	if err != nil {
		return err
	}
	rate *= map[string]float64{"": 1e-6, "K": 1e-3, "M": 1, "G": 1e3, "T": 1e6}[string(wrkBytes.FindSubmatch(out)[2])]
	t.rates = append(t.rates, rate)
	t.cpu = append(t.cpu, (after-before)/(rate*seconds/1000))
	return nil
}

// waitForBlob waits until authsvc knows that the blob belongs to a licensed tag.
func (f *front) waitForBlob(ctx context.Context, b blob) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/v2/acme/appliance/blobs/%s", f.Port, b.id.Digest)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", f.authorization())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		switch {
		case response.StatusCode == http.StatusOK && response.ContentLength == int64(b.size)<<20:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("a blob of %d MB: status %d", b.size, response.StatusCode)
		}
	}
}
