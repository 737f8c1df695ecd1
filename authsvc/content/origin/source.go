package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxHops bounds the redirects of one request.
const maxHops = 3

// errExpired means that the storage refuses a URL: its signature has expired.
var errExpired = errors.New("the storage refuses the signed URL")

// A Source reads one object, from any offset. It is not safe for concurrent use.
type Source struct {
	client  *Client
	request Request
	// signed is where the registry redirected to; nil as long as that is not
	// known. It is used again until it expires.
	signed *url.URL
	// Size is known after the first Open.
	Size int64
	// ContentType is the registry's; the storage's says nothing.
	ContentType string
}

// Source returns a Source for a request. It asks nobody yet.
func (c *Client) Source(r Request) *Source { return &Source{client: c, request: r, Size: -1} }

// Authorize replaces the Authorization, if the one before has expired.
func (s *Source) Authorize(authorization string) { s.request.Authorization = authorization }

// Open opens the body at an offset. The first time the offset must be 0.
func (s *Source) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	if s.signed != nil {
		body, err := s.openSigned(ctx, offset)
		if !errors.Is(err, errExpired) {
			return body, err
		}
		s.signed = nil
	}
	body, err := s.openRegistry(ctx, offset)
	if s.signed == nil {
		return body, err
	}
	return s.openSigned(ctx, offset)
}

// openRegistry asks the registry, which answers itself, or by a redirect to s.signed.
func (s *Source) openRegistry(ctx context.Context, offset int64) (io.ReadCloser, error) {
	q, err := s.client.registry(s.request, http.MethodGet, rangeFrom(offset))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	response, err := s.client.ask(ctx, q)
	switch {
	case err != nil:
		cancel(nil)
		return nil, err
	case isRedirect(response):
		defer cancel(nil)
		defer drop(response)
		s.signed, err = s.client.location(q.url, response.Header.Get("Location"))
		return nil, err
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusPartialContent:
		defer cancel(nil)
		defer drop(response)
		return nil, registryError(response)
	}
	s.ContentType = response.Header.Get("Content-Type")
	return s.accept(response, offset, cancel)
}

// openSigned asks the storage, which may redirect within itself.
func (s *Source) openSigned(ctx context.Context, offset int64) (io.ReadCloser, error) {
	at := s.signed
	for range maxHops {
		ctx, cancel := context.WithCancelCause(ctx)
		response, err := s.client.ask(ctx, question{method: http.MethodGet, to: toStorage, url: at, ranges: rangeFrom(offset)})
		switch {
		case err != nil:
			cancel(nil)
			return nil, err
		case response.StatusCode == http.StatusOK || response.StatusCode == http.StatusPartialContent:
			return s.accept(response, offset, cancel)
		}
		at, err = s.client.nextHop(at, response)
		drop(response)
		cancel(nil)
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: there are more than %d", ErrRedirect, maxHops)
}

// nextHop is where the storage redirects to.
func (c *Client) nextHop(from *url.URL, response *http.Response) (*url.URL, error) {
	switch {
	case isRedirect(response):
		return c.location(from, response.Header.Get("Location"))
	case response.StatusCode == http.StatusForbidden, response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusBadRequest:
		return nil, fmt.Errorf("%w with status %d", errExpired, response.StatusCode)
	}
	return nil, fmt.Errorf("the storage %s answers with status %d", from.Host, response.StatusCode)
}

// rangeFrom is the header Range for all from an offset.
func rangeFrom(offset int64) string {
	if offset == 0 {
		return ""
	}
	return "bytes=" + strconv.FormatInt(offset, 10) + "-"
}

// accept checks that an answer has the body from an offset, and nothing else.
func (s *Source) accept(response *http.Response, offset int64, cancel context.CancelCauseFunc) (_ io.ReadCloser, err error) {
	defer func() {
		if err != nil {
			cancel(nil)
			_ = response.Body.Close()
		}
	}()
	if err := checkEncoding(response); err != nil {
		return nil, err
	}
	size, skip := response.ContentLength, offset
	if response.StatusCode == http.StatusPartialContent {
		part, ok := ParseContentRange(response.Header.Get("Content-Range"))
		if !ok || part.First != offset || part.Last != part.Size-1 || response.ContentLength != part.Size-offset {
			return nil, fmt.Errorf("expected all from byte %d, found Content-Range %.60q and Content-Length %d",
				offset, response.Header.Get("Content-Range"), response.ContentLength)
		}
		size, skip = part.Size, 0
	}
	if size < 0 {
		return nil, errors.New("expected a Content-Length, found none")
	}
	if s.Size >= 0 && s.Size != size {
		return nil, fmt.Errorf("expected %d bytes as before, found %d", s.Size, size)
	}
	s.Size = size
	body := newBody(response.Body, s.client.o.Stall, cancel)
	// An answer with the whole body, although a part was asked for.
	if _, err := io.CopyN(io.Discard, body, skip); err != nil {
		_ = body.Close()
		return nil, fmt.Errorf("skipping what is there: %w", err)
	}
	return body, nil
}

func checkEncoding(response *http.Response) error {
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fmt.Errorf("expected no Content-Encoding, found %.40q", encoding)
	}
	return nil
}

// errStalled means that nothing came for a while.
var errStalled = errors.New("no more of the body came in time")

// A body ends when nothing comes for the time stall.
type body struct {
	io.ReadCloser
	stall  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newBody(r io.ReadCloser, stall time.Duration, cancel context.CancelCauseFunc) *body {
	return &body{r, stall, time.AfterFunc(stall, func() { cancel(errStalled) }), cancel}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.timer.Reset(b.stall)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
