package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// pull pulls the whole image as the customer, over its own connections, without
// retries: what docker would hide by retrying is a failure here.
func (w *world) pull(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: w.outside.CA()},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(address); err == nil && host == serverName {
				address = net.JoinHostPort(w.front.Load().(string), port)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	repository, tag, _ := strings.Cut(image, ":")
	base := "https://" + serverName + "/v2/" + repository
	text, err := fetch(ctx, client, base+"/manifests/"+tag, "")
	if err != nil {
		return err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(text))
	if err != nil {
		return err
	}
	for _, part := range append(manifest.Layers, manifest.Config) {
		if _, err := fetch(ctx, client, base+"/blobs/"+part.Digest.String(), part.Digest.Hex); err != nil {
			return err
		}
	}
	return nil
}

// fetch gets url, follows redirects, and checks the SHA-256 of the body; an empty
// sum accepts anything.
func fetch(ctx context.Context, client *http.Client, url, sum string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", string(types.DockerManifestSchema2)) // otherwise a registry may convert it
	r.SetBasicAuth(customer, token)                             // for the registry only: net/http drops it on a redirect to another host
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %s", url, response.Status, body)
	}
	if found := fmt.Sprintf("%x", sha256.Sum256(body)); sum != "" && found != sum {
		return nil, fmt.Errorf("%s: expected SHA-256 %s, found %s", url, sum, found)
	}
	return body, nil
}

// A load is a number of customers who keep pulling.
type load struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	pulled atomic.Int64

	mu     sync.Mutex
	failed []error
}

// startLoad starts n customers at once, who pull one time after the other.
func (w *world) startLoad(ctx context.Context, customers int) *load {
	return w.startTraffic(ctx, customers, 0)
}

// startTraffic starts customers who rest between pulls, where these are to notice an
// outage and not to fill the machine.
func (w *world) startTraffic(ctx context.Context, customers int, rest time.Duration) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{stop: cancel}
	for range customers {
		l.done.Go(func() {
			for ctx.Err() == nil {
				// Pulls in progress are completed: stopping is not a failure.
				if err := w.pull(context.WithoutCancel(ctx)); err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, fmt.Errorf("%s: %w", time.Now().Format("15:04:05.000"), err))
					l.mu.Unlock()
				}
				l.pulled.Add(1)
				select {
				case <-ctx.Done():
				case <-time.After(rest):
				}
			}
		})
	}
	return l
}

// end stops them, and reports the number of pulls and any failure.
func (l *load) end() (string, error) {
	l.stop()
	l.done.Wait()
	total := l.pulled.Load()
	if n := len(l.failed); n > 0 {
		return "", fmt.Errorf("%d of %d pulls failed; the first: %w", n, total, l.failed[0])
	}
	return fmt.Sprintf("%d pulls, none failed", total), nil
}

// A siteWatch keeps requesting every machine's unrelated site.
type siteWatch struct {
	stop    context.CancelFunc
	done    sync.WaitGroup
	answers atomic.Int64
	silent  atomic.Int64 // no answer: a machine is down

	mu    sync.Mutex
	wrong []string
}

// watchSite starts to watch a machine's site.
func (s *siteWatch) watch(ctx context.Context, m *machine) {
	s.done.Go(func() {
		for ctx.Err() == nil {
			status, err := get(ctx, "http://"+m.address+"/")
			if err == nil && status == http.StatusOK {
				status, err = get(ctx, "https://"+m.address+"/") // without a server name
			}
			switch {
			case ctx.Err() != nil:
			case err != nil:
				s.silent.Add(1)
			case status != http.StatusOK:
				s.mu.Lock()
				s.wrong = append(s.wrong, fmt.Sprintf("%s: %s answered %d", time.Now().Format("15:04:05.000"), m.name, status))
				s.mu.Unlock()
			default:
				s.answers.Add(1)
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
}

// quiet is how often there was no answer since the last call.
func (s *siteWatch) quiet() int64 { return s.silent.Swap(0) }

func (s *siteWatch) verdict() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.quiet(); n > 0 {
		return "", fmt.Errorf("no answer %d times", n)
	}
	if len(s.wrong) > 0 {
		return "", fmt.Errorf("%d wrong answers; the first: %s", len(s.wrong), s.wrong[0])
	}
	return fmt.Sprintf("%d answers, all 200", s.answers.Load()), nil
}
