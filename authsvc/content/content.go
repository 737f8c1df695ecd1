// Package content is the content store: a process beside nginx that fetches what
// nginx does not find as a file, keeps it, and streams it meanwhile. README.md has
// the contract with nginx, the settings, and what to do when something is wrong.
//
// Its parts, from the inside:
//
//	object  names, paths, and the media type of a manifest
//	disk    complete files under final names
//	stock   what is there; room, eviction, scrub
//	origin  registries and their storage
//	fetch   one fetch of an object for all who want it
//	front   nginx's requests
//	served  nginx's log of what it has served
//	control the commands status, verify and drop
//
// What it holds to, whatever happens to process, machine, disk or network:
//
//   - A file that has its final name is complete, and has the digest of its name.
//   - The last byte of a whole object is sent only after all of it was verified.
//   - An answer has a Content-Length, so that one that breaks off is seen as such.
package content

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content/control"
	"github.com/pullgate/pullgate/authsvc/content/disk"
	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/front"
	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/served"
	"github.com/pullgate/pullgate/authsvc/content/stock"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// writeTime is how long nginx may take to accept more of an answer. It waits for
// its own clients, but not longer than its send_timeout.
const writeTime = 10 * time.Minute

// Options are what a Store needs besides its configuration.
type Options struct {
	// FS is the file system; nil for the machine's.
	FS      disk.FS
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// A Store is the content store.
type Store struct {
	config  Config
	logger  *slog.Logger
	folder  *disk.Folder
	stock   *stock.Stock
	origin  *origin.Client
	fetcher *fetch.Fetcher
	front   *front.Front
	served  *served.Listener
}

// New opens the store. Close it.
func New(c Config, o Options) (_ *Store, err error) {
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	gid := -1
	if c.Listen.Group != "" {
		if gid, err = system.Group(c.Listen.Group); err != nil {
			return nil, fmt.Errorf("listen.group: %w", err)
		}
	}
	c.Origin.Metrics = o.Metrics
	s := &Store{config: c, logger: o.Logger}
	if s.origin, err = origin.New(c.Origin); err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	if s.folder, err = disk.Open(c.Folder, gid, o.FS); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	s.stock, err = stock.Open(stock.Options{Folder: s.folder, Limits: c.Limits, Logger: o.Logger, Metrics: stock.NewMetrics(o.Metrics), Now: time.Now})
	if err != nil {
		return nil, errors.Join(err, s.folder.Close())
	}
	s.fetcher = fetch.New(fetch.Options{Origin: s.origin, Stock: s.stock, Folder: s.folder, Limits: c.Fetch, Logger: o.Logger, Metrics: fetch.NewMetrics(o.Metrics)})
	s.front = front.New(front.Options{
		Stock: s.stock, Fetcher: s.fetcher, Origin: s.origin, MaxRequests: c.Listen.MaxRequests, FirstByte: c.FirstByte, RangeWait: c.RangeWait,
		WriteTime: writeTime, Logger: o.Logger, Metrics: o.Metrics,
	})
	s.served = served.New(s.stock.Used, o.Logger, o.Metrics)
	return s, nil
}

// Handler answers nginx.
func (s *Store) Handler() http.Handler { return s.front }

// Run does what is done in the background until ctx ends. nginx's log comes over
// conn, which Run closes.
func (s *Store) Run(ctx context.Context, conn net.PacketConn) {
	var wait sync.WaitGroup
	wait.Go(func() { s.stock.ScrubForever(ctx, stock.Scrub{Rate: s.config.Scrub.Rate}, s.config.Scrub.Pause) })
	wait.Go(func() { s.served.Run(ctx, conn) })
	wait.Go(func() { s.stock.Run(ctx) })
	wait.Wait()
}

// Status says what the store has and does.
func (s *Store) Status() (control.Status, error) {
	summary, err := s.stock.Summary()
	return control.Status{Store: summary, Fetches: s.fetcher.Status()}, err
}

// Verify reads all files now, and removes those that are wrong. wrong is called for
// each of them.
func (s *Store) Verify(ctx context.Context, wrong func(object.ID)) (files int, err error) {
	return s.stock.Scrub(ctx, stock.Scrub{Wrong: wrong})
}

// Drop removes the objects with a digest, and says which there were.
func (s *Store) Drop(d object.Digest) []object.ID {
	var dropped []object.ID
	for _, kind := range []object.Kind{object.Blob, object.Manifest} {
		if id := (object.ID{Kind: kind, Digest: d}); s.stock.Remove(id, stock.Dropped) {
			dropped = append(dropped, id)
		}
	}
	return dropped
}

// Close ends all fetches.
func (s *Store) Close() error {
	s.fetcher.Close()
	s.origin.Close()
	return s.folder.Close()
}

// Ready says whether the store can serve, for /readyz.
func (s *Store) Ready() (body string, ok bool) {
	summary, err := s.stock.Summary()
	if err != nil {
		return err.Error() + "\n", false
	}
	return fmt.Sprintf("ok: %d files\n", summary.Files), true
}
