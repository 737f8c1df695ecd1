package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// A Head is what is known of an object without its body.
type Head struct {
	Size        int64
	ContentType string
}

// Head asks for an object's size. A URL that is signed for GET is no use for
// HEAD: if the registry redirects, the storage is asked for the first byte.
func (c *Client) Head(ctx context.Context, r Request) (Head, error) {
	q, err := c.registry(r, http.MethodHead, "")
	if err != nil {
		return Head{}, err
	}
	response, err := c.ask(ctx, q)
	if err != nil {
		return Head{}, err
	}
	drop(response)
	switch {
	case response.StatusCode == http.StatusOK && response.ContentLength >= 0:
		return Head{response.ContentLength, response.Header.Get("Content-Type")}, nil
	case !isRedirect(response):
		return Head{}, registryError(response)
	}
	part, body, err := c.Range(ctx, r, "bytes=0-0")
	if err != nil {
		return Head{}, err
	}
	return Head{Size: part.Size}, body.Close()
}

// A RangeError says that an object does not have the part that was asked for. Its
// ContentRange is the answer's header.
type RangeError struct{ ContentRange string }

// Error implements error.
func (e *RangeError) Error() string { return "the object has no such part" }

// Range opens a part of an object; ranges is a header Range with one part.
func (c *Client) Range(ctx context.Context, r Request, ranges string) (Part, io.ReadCloser, error) {
	q, err := c.registry(r, http.MethodGet, ranges)
	if err != nil {
		return Part{}, nil, err
	}
	for range maxHops {
		ctx, cancel := context.WithCancelCause(ctx)
		response, err := c.ask(ctx, q)
		if err != nil {
			cancel(nil)
			return Part{}, nil, err
		}
		if response.StatusCode == http.StatusPartialContent {
			part, err := checkPart(response)
			if err == nil {
				return part, newBody(response.Body, c.o.Stall, cancel), nil
			}
			_ = response.Body.Close()
			cancel(nil)
			return Part{}, nil, err
		}
		to, err := c.redirected(q, response)
		drop(response)
		cancel(nil)
		if err != nil {
			return Part{}, nil, err
		}
		q = question{method: http.MethodGet, to: toStorage, url: to, ranges: ranges}
	}
	return Part{}, nil, fmt.Errorf("%w: there are more than %d", ErrRedirect, maxHops)
}

// redirected is where an answer to a question redirects to.
func (c *Client) redirected(q question, response *http.Response) (*url.URL, error) {
	switch {
	case response.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return nil, &RangeError{response.Header.Get("Content-Range")}
	case isRedirect(response):
		return c.location(q.url, response.Header.Get("Location"))
	case q.to == toRegistry:
		return nil, registryError(response)
	}
	return c.nextHop(q.url, response)
}

func checkPart(response *http.Response) (Part, error) {
	if err := checkEncoding(response); err != nil {
		return Part{}, err
	}
	part, ok := ParseContentRange(response.Header.Get("Content-Range"))
	if !ok || part.Length() != response.ContentLength {
		return Part{}, errors.New("expected a Content-Range as long as the body, found another")
	}
	return part, nil
}
