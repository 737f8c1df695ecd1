// Package server serves the running program's two listeners: the control socket
// for authsvc (control.go), and the private listener for the operator (private.go).
// Package refresh does the work.
package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pullgate/pullgate/tokenrefresher/refresh"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A Registry is a registry whose token is kept fresh. *refresh.Registry implements
// it.
type Registry interface {
	Name() string
	Status() refresh.Status
	// Refresh refreshes now; Newer only if the token was not fetched after the
	// given time. Both return the token then in the file, or an error, which may
	// be a *refresh.LimitedError.
	Refresh(context.Context) (tokenfile.Token, error)
	Newer(context.Context, time.Time) (tokenfile.Token, error)
}

// An answer is the body for one registry. One of the fields is set.
type answer struct {
	FetchedAt time.Time `json:"fetchedAt,omitzero"`
	Error     string    `json:"error,omitempty"`
}

// NewControl returns the handler of the control socket.
//
//	POST /refresh?registry=NAME&newer_than=TIME
//
// refreshes the registry's token and answers when it is in the file. With
// newer_than (RFC 3339; optional) it does nothing if the token was fetched after
// that time. Without registry it refreshes all of them. A parameter that is
// empty, repeated or unknown is refused.
//
//	200 {"fetchedAt":"…"}                        it is in the file
//	400 {"error":"…"}                            the query is malformed
//	404 {"error":"…"}                            no such registry
//	429 {"error":"…"}, Retry-After: SECONDS      too soon after the last request
//	502 {"error":"…"}                            the refresh failed; the old token is kept
//	503 {"error":"…"}                            it took longer than timeout, or is stopping
//
// For all registries the body is {"registries":{"NAME":{…},…}}, with the highest
// status among them.
func NewControl(registries []Registry, timeout time.Duration) http.Handler {
	e := echo.New()
	e.POST("/refresh", func(c echo.Context) error {
		name, ask, err := question(c.Request().URL.RawQuery)
		if err != nil {
			return c.JSON(http.StatusBadRequest, answer{Error: err.Error()})
		}
		ctx, cancel := context.WithTimeout(c.Request().Context(), timeout)
		defer cancel()
		if name == "" {
			return refreshAll(ctx, c, registries, ask)
		}
		for _, r := range registries {
			if r.Name() == name {
				t, err := ask(ctx, r)
				return c.JSON(judge(c, t, err))
			}
		}
		return c.JSON(http.StatusNotFound, answer{Error: fmt.Sprintf("there is no registry %.64q", name)})
	})
	return e
}

type ask func(context.Context, Registry) (tokenfile.Token, error)

// question parses the query: the registry, empty for all, and what to ask it.
func question(query string) (registry string, _ ask, err error) {
	// Parse strictly: url.URL.Query drops what it cannot parse, so that
	// "?registry=%zz" would mean all registries.
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", nil, errors.New("expected a query such as registry=NAME&newer_than=TIME, found a malformed one")
	}
	for key, value := range values {
		if key != "registry" && key != "newer_than" {
			return "", nil, fmt.Errorf("expected the parameters registry and newer_than, found %.64q", key)
		}
		if len(value) != 1 || value[0] == "" {
			return "", nil, fmt.Errorf("%s: expected one value or none", key)
		}
	}
	registry = values.Get("registry")
	text := values.Get("newer_than")
	if text == "" {
		return registry, func(ctx context.Context, r Registry) (tokenfile.Token, error) { return r.Refresh(ctx) }, nil
	}
	newerThan, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return "", nil, fmt.Errorf("newer_than: expected an RFC 3339 time, found %.64q", text)
	}
	return registry, func(ctx context.Context, r Registry) (tokenfile.Token, error) { return r.Newer(ctx, newerThan) }, nil
}

func refreshAll(ctx context.Context, c echo.Context, registries []Registry, ask ask) error {
	type result struct {
		token tokenfile.Token
		err   error
	}
	results := make([]result, len(registries))
	var wait sync.WaitGroup
	for i, r := range registries {
		wait.Go(func() { results[i].token, results[i].err = ask(ctx, r) })
	}
	wait.Wait()
	status, answers := http.StatusOK, make(map[string]answer, len(registries))
	for i, r := range registries {
		var one int
		one, answers[r.Name()] = judge(c, results[i].token, results[i].err)
		status = max(status, one)
	}
	return c.JSON(status, map[string]any{"registries": answers})
}

// judge finds the status and the body for one registry.
func judge(c echo.Context, t tokenfile.Token, err error) (int, answer) {
	if err == nil {
		return http.StatusOK, answer{FetchedAt: t.FetchedAt}
	}
	if limited, ok := errors.AsType[*refresh.LimitedError](err); ok {
		seconds := max(1, int(math.Ceil(limited.RetryAfter.Seconds())))
		c.Response().Header().Set("Retry-After", strconv.Itoa(seconds))
		return http.StatusTooManyRequests, answer{Error: err.Error()}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return http.StatusServiceUnavailable, answer{Error: err.Error()}
	}
	return http.StatusBadGateway, answer{Error: err.Error()}
}
