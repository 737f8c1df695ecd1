package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// A Client asks a running store.
type Client struct{ http *http.Client }

// NewClient returns a Client for the socket at path.
func NewClient(path string) Client {
	return Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
}

// ask returns the body of a good answer.
func (c Client) ask(ctx context.Context, method, target string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://store"+target, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(r)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // the URL says nothing to a person
		}
		return nil, fmt.Errorf("asking the content store, which must be running: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close() //nolint:errcheck // it was read, or is of no use
	var p problem
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&p); err != nil || p.Error == "" {
		p.Error = response.Status
	}
	return nil, errors.New("the content store answers: " + p.Error)
}

// Status asks what the store has and does.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	body, err := c.ask(ctx, http.MethodGet, "/status")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	err = json.NewDecoder(body).Decode(&s)
	return s, err
}

// Verify has all files read, and calls wrong for each that was wrong.
func (c Client) Verify(ctx context.Context, wrong func(object string)) (files int, err error) {
	body, err := c.ask(ctx, http.MethodPost, "/verify")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	for lines := json.NewDecoder(body); ; {
		var f finding
		switch err := lines.Decode(&f); {
		case err != nil:
			return 0, fmt.Errorf("the content store has ended before all files were read: %w", err)
		case f.Error != "":
			return 0, errors.New("the content store answers: " + f.Error)
		case f.Files != nil:
			return *f.Files, nil
		}
		wrong(f.Wrong)
	}
}

// Drop removes the objects with a digest, and says which there were.
func (c Client) Drop(ctx context.Context, digest string) (objects []string, err error) {
	body, err := c.ask(ctx, http.MethodPost, "/drop?digest="+url.QueryEscape(digest))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	var d dropped
	err = json.NewDecoder(body).Decode(&d)
	return d.Dropped, err
}
