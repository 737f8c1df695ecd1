// Package warm fills the store with all that a tag reaches, before customers ask
// for it. It asks the registry for the tag's digest, and the store for the rest, as
// nginx would.
package warm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// Parallel is how many objects are fetched at a time.
const Parallel = 4

// patience is how often the store may decline before that is an error.
const patience = 10

// Options say what to fetch how.
type Options struct {
	// Socket is the path of the store's socket for nginx.
	Socket string
	Origin *origin.Client
	// Upstream is the name of the registry, and Authorization what it accepts.
	Upstream, Authorization string
	// Wait is the time between two attempts if the store declines.
	Wait time.Duration
	// Progress is called after each object; it is never called twice at a time.
	Progress func(Progress)
}

// Progress is how far it has come.
type Progress struct {
	Object      object.ID // the one that came last
	Size        int64     // its size
	Done, Known int       // objects
	Bytes       int64     // of those that are done
}

// A warmer works on one image.
type warmer struct {
	Options
	http       *http.Client
	repository string

	mu   sync.Mutex
	seen map[object.ID]bool
	p    Progress
}

// Image fetches all that an image reaches: REPOSITORY:TAG or REPOSITORY@DIGEST.
func Image(ctx context.Context, o Options, image string) (Progress, error) {
	request, refusal := registry.Parse(http.MethodGet, registry.ImagePath(image))
	if refusal != nil {
		return Progress{}, fmt.Errorf("%s: expected REPOSITORY:TAG: %s", image, refusal.Message)
	}
	w := &warmer{Options: o, repository: request.Repository, seen: map[object.ID]bool{}, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", o.Socket)
		},
		MaxIdleConnsPerHost: Parallel, DisableCompression: true,
	}}}
	defer w.http.CloseIdleConnections()
	digest, ok := object.ParseDigest(request.Reference.Digest)
	if !ok {
		var err error
		if digest, err = o.Origin.Resolve(ctx, o.Upstream, request.Path(), o.Authorization); err != nil {
			return Progress{}, fmt.Errorf("%s: %w", image, err)
		}
	}
	if err := w.level(ctx, []object.ID{{Kind: object.Manifest, Digest: digest}}); err != nil {
		return w.p, fmt.Errorf("%s: %w", image, err)
	}
	return w.p, nil
}

// level fetches objects, and then what they name.
func (w *warmer) level(ctx context.Context, ids []object.ID) error {
	for len(ids) > 0 {
		ids = w.unseen(ids)
		var mu sync.Mutex
		var below []object.ID
		var failures []error
		slots := make(chan struct{}, Parallel)
		var wait sync.WaitGroup
		for _, id := range ids {
			slots <- struct{}{}
			wait.Go(func() {
				defer func() { <-slots }()
				children, err := w.object(ctx, id)
				mu.Lock()
				defer mu.Unlock()
				below, failures = append(below, children...), append(failures, err)
			})
		}
		wait.Wait()
		if err := errors.Join(failures...); err != nil {
			return err
		}
		ids = below
	}
	return nil
}

// unseen notes objects, and leaves out those that were noted before: images share
// layers.
func (w *warmer) unseen(ids []object.ID) []object.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	var fresh []object.ID
	for _, id := range ids {
		if !w.seen[id] {
			w.seen[id] = true
			fresh = append(fresh, id)
		}
	}
	w.p.Known = len(w.seen)
	return fresh
}

// object fetches one object, patiently: customers come first.
func (w *warmer) object(ctx context.Context, id object.ID) (children []object.ID, err error) {
	for range patience {
		if children, err = w.get(ctx, id); !errors.Is(err, errDeclined) {
			return children, err
		}
		select {
		case <-time.After(w.Wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, err
}

// errDeclined means that the store may do it later.
var errDeclined = errors.New("the store declines")

// kinds are what the API calls the store's.
var kinds = map[object.Kind]registry.Kind{object.Blob: registry.Blob, object.Manifest: registry.Manifest}

func (w *warmer) get(ctx context.Context, id object.ID) ([]object.ID, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://store/", nil)
	if err != nil {
		return nil, err
	}
	asked := registry.Request{Kind: kinds[id.Kind], Repository: w.repository, Reference: registry.Reference{Digest: id.Digest.String()}}
	for name, value := range map[string]string{
		"X-Store-Upstream": w.Upstream, "X-Store-Path": asked.Path(),
		"X-Store-Object": id.String(), "Authorization": w.Authorization, "X-Auth-Subject": "authsvc content warm",
	} {
		r.Header.Set(name, value)
	}
	response, err := w.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the content store, which must be running: %w", errors.Unwrap(err))
	}
	defer func() { _ = response.Body.Close() }() // it was read, or is of no use
	switch response.StatusCode {
	case http.StatusOK:
		return w.read(response, id)
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return nil, fmt.Errorf("%s: %w with status %d; its log says why", id, errDeclined, response.StatusCode)
	}
	return nil, fmt.Errorf("%s: expected status 200, found %d; the store's log says why", id, response.StatusCode)
}

// read reads an object to its end, which the store sends only if it is right.
func (w *warmer) read(response *http.Response, id object.ID) (children []object.ID, err error) {
	var body strings.Builder
	to := io.Discard
	if id.Kind == object.Manifest {
		to = &body
	}
	n, err := io.Copy(to, response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	if id.Kind == object.Manifest {
		media, err := object.MediaOf([]byte(body.String()), response.Header.Get("Content-Type"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		if children, err = object.Children([]byte(body.String()), media); err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.p.Object, w.p.Size = id, n
	w.p.Done++
	w.p.Bytes += n
	w.Progress(w.p)
	return children, nil
}
