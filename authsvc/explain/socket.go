package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// The bounds of the socket.
const (
	maxQuestion = 64 << 10 // bytes
	maxAnswer   = 16 << 20
	// atOnce is how many explanations are made at a time; any more are refused.
	atOnce = 4
	// answerTimeout bounds one.
	answerTimeout = 30 * time.Second
)

// NewHandler returns the handler of the socket:
//
//	POST /explain   a Question; the answer is an Explanation
//	POST /licenses  a Question without a reference; the answer is an Account
//
// lend lends the parts of the program that are in force until done is called.
func NewHandler(lend func() (parts Parts, done func())) http.Handler {
	e := echo.New()
	e.Use(middleware.Recover(), middleware.BodyLimit(fmt.Sprint(maxQuestion)))
	places := make(chan struct{}, atOnce)
	e.POST("/explain", handle(places, lend, Explain))
	e.POST("/licenses", handle(places, lend, List))
	return e
}

func handle[T any](places chan struct{}, lend func() (Parts, func()), answer func(context.Context, Parts, Question) T) echo.HandlerFunc {
	return func(c echo.Context) error {
		var q Question
		d := json.NewDecoder(c.Request().Body)
		d.DisallowUnknownFields()
		if d.Decode(&q) != nil || q.User == "" { // the error may quote the token
			return c.String(http.StatusBadRequest, "expected a question in JSON, with a user")
		}
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			return c.String(http.StatusServiceUnavailable, fmt.Sprintf("%d explanations are being made already; try again", atOnce))
		}
		parts, done := lend()
		defer done()
		ctx, cancel := context.WithTimeout(c.Request().Context(), answerTimeout)
		defer cancel()
		return c.JSON(http.StatusOK, answer(ctx, parts, q))
	}
}

// A Client asks a running authsvc over its socket.
type Client struct {
	// Socket is the socket's path.
	Socket string
}

// Explain asks what a request would get, and why.
func (c Client) Explain(ctx context.Context, q Question) (e Explanation, err error) {
	return e, c.ask(ctx, "/explain", q, &e)
}

// Licenses asks what a customer may pull.
func (c Client) Licenses(ctx context.Context, q Question) (a Account, err error) {
	return a, c.ask(ctx, "/licenses", q, &a)
}

func (c Client) ask(ctx context.Context, path string, q Question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout+10*time.Second)
	defer cancel()
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://authsvc"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
	}}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("asking the running authsvc: %w; is it running, and are you in the socket's group?", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("asking the running authsvc: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return errors.New("authsvc: " + strings.TrimSpace(string(text)))
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("reading authsvc's answer: %w", err)
	}
	return nil
}
