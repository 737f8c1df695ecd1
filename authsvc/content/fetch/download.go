package fetch

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/disk"
	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/stock"
)

const (
	// whole is the size up to which readers hear of an object only when it has
	// been verified: if it is wrong, they can still go the plain way.
	whole = 64 << 10
	// reserveTime is how long to wait for room.
	reserveTime = 2 * time.Second
	// attempts that bring nothing end a fetch: the first of all early, since
	// somebody waits for the first byte.
	firstAttempts, attempts = 2, 6
)

// Errors that end a fetch at once.
var (
	errWrong    = errors.New("the content is not that of the digest")
	errTooLarge = errors.New("the object is too large")
	errDisk     = errors.New("writing it failed")
)

// A download is the work of one Flight.
type download struct {
	fetcher *Fetcher
	flight  *Flight
	request Request
	source  *origin.Source

	room    *stock.Room
	file    *disk.Pending
	hash    hash.Hash
	written int64
	resumed int
}

// run downloads, verifies and stores.
func (d *download) run(ctx context.Context) error {
	err := d.fill(ctx)
	if err == nil {
		err = d.store()
	}
	if d.file != nil {
		err = errors.Join(err, d.file.Discard())
	}
	if d.room != nil {
		d.room.Release()
	}
	switch _, left := d.flight.latest(); {
	case err != nil && left:
		return errors.Join(errAlone, err)
	case err != nil && ctx.Err() != nil:
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// fill gets the whole body, in several attempts if need be.
func (d *download) fill(ctx context.Context) error {
	d.hash = d.request.ID.Digest.NewHash()
	failures := 0
	for {
		before := d.written
		err := d.attempt(ctx)
		if err == nil {
			return d.verify()
		}
		if d.written > before {
			failures = 0
		}
		failures++
		if ctx.Err() != nil || isFinal(err) || failures >= attempts || d.written == 0 && failures >= firstAttempts {
			return err
		}
		d.resumed++
		d.fetcher.o.Metrics.resumed.Inc()
		d.fetcher.o.Logger.Warn("a fetch broke off; resuming it", "what", d.request.ID.String(), "at", d.written, "error", err)
		select {
		case <-time.After(d.fetcher.o.Limits.Backoff << (failures - 1)):
		case <-ctx.Done():
		}
	}
}

// isFinal says that another attempt would end as this one did.
func isFinal(err error) bool {
	for _, final := range []error{errTooLarge, errDisk, stock.ErrFull, origin.ErrRedirect, origin.ErrUpstream} {
		if errors.Is(err, final) {
			return true
		}
	}
	_, answered := errors.AsType[*origin.StatusError](err)
	return answered
}

// attempt opens the body where it broke off, and copies the rest.
func (d *download) attempt(ctx context.Context) error {
	authorization, _ := d.flight.latest()
	d.source.Authorize(authorization)
	body, err := d.source.Open(ctx, d.written)
	if err != nil {
		return err
	}
	if d.file == nil {
		if err := d.begin(ctx); err != nil {
			return errors.Join(err, body.Close())
		}
	}
	return d.copy(body)
}

// begin reserves room, and creates the file.
func (d *download) begin(ctx context.Context) (err error) {
	size, limit := d.source.Size, d.fetcher.o.Limits.MaxBlob
	if d.request.ID.Kind == object.Manifest {
		limit = d.fetcher.o.Limits.MaxManifest
	}
	if size > limit {
		return fmt.Errorf("%w: expected at most %d bytes, found %d", errTooLarge, limit, size)
	}
	ctx, cancel := context.WithTimeout(ctx, reserveTime)
	defer cancel()
	if d.room, err = d.fetcher.o.Stock.Reserve(ctx, size); err != nil {
		return errors.Join(errDisk, err)
	}
	if d.file, err = d.fetcher.o.Folder.Create(); err != nil {
		return errors.Join(errDisk, err)
	}
	d.flight.tell(func() {
		d.flight.file, d.flight.size = d.file, size
		d.flight.known = d.request.ID.Kind == object.Blob && size > whole
	})
	return nil
}

// copy copies the rest of a body, and closes it.
func (d *download) copy(body io.ReadCloser) error {
	p := newPipe(body)
	defer p.close()
	defer func() { _ = body.Close() }() // first: it ends a read that waits
	for d.written < d.source.Size {
		piece, err := p.next()
		if err != nil {
			return fmt.Errorf("reading the body: %w", err)
		}
		if left := d.source.Size - d.written; int64(len(piece)) > left {
			return fmt.Errorf("expected %d bytes more, found more than that", left)
		}
		if err := d.write(piece); err != nil {
			return errors.Join(errDisk, err)
		}
	}
	return nil
}

func (d *download) write(p []byte) error {
	if _, err := d.file.Write(p); err != nil {
		return err
	}
	_, _ = d.hash.Write(p) // never fails
	d.room.Wrote(int64(len(p)))
	d.written += int64(len(p))
	d.fetcher.o.Metrics.bytes.Add(float64(len(p)))
	d.flight.tell(func() { d.flight.written = d.written })
	return nil
}

// verify compares what came with the digest, and lets readers have the last byte.
func (d *download) verify() error {
	if !d.request.ID.Digest.IsSum(d.hash) {
		return errWrong
	}
	var media object.Media
	if d.request.ID.Kind == object.Manifest {
		body, err := io.ReadAll(io.NewSectionReader(d.file, 0, d.written))
		if err != nil {
			return errors.Join(errDisk, err)
		}
		if media, err = object.MediaOf(body, d.source.ContentType); err != nil {
			return errors.Join(errWrong, err)
		}
	}
	d.flight.tell(func() { d.flight.verified, d.flight.known, d.flight.media = true, true, media })
	return nil
}

// store gives the file its final name. Readers need not wait for it.
func (d *download) store() error {
	if err := d.fetcher.o.Stock.Keep(d.file, d.request.ID, d.flight.media, d.written); err != nil {
		return errors.Join(errDisk, err)
	}
	return nil
}

// report logs and counts the end of a fetch.
func (d *download) report(err error) {
	how := outcomeOf(err)
	d.fetcher.o.Metrics.fetches.WithLabelValues(string(how)).Inc()
	level := slog.LevelInfo
	switch how {
	case wrong, diskFailed:
		level = slog.LevelError
	case failed:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("request_id", d.request.RequestID), slog.String("subject", d.request.Subject),
		slog.String("upstream", d.request.Upstream), slog.String("path", d.request.Path),
		slog.String("outcome", string(how)), slog.Int64("bytes", d.written), slog.Int("resumed", d.resumed),
		slog.Float64("duration_ms", float64(time.Since(d.flight.began).Microseconds())/1000),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	d.fetcher.o.Logger.LogAttrs(context.Background(), level, "fetch", attrs...)
}
