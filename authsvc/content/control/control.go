// Package control is between the running store and the commands status, verify
// and drop: what the store answers (control.go), and what they ask (client.go).
package control

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/stock"
)

// A Status is what the store has and does.
type Status struct {
	Store   stock.Summary  `json:"store"`
	Fetches []fetch.Status `json:"fetches"`
}

// A Store is what the commands are about.
type Store interface {
	Status() (Status, error)
	Verify(ctx context.Context, wrong func(object.ID)) (files int, err error)
	Drop(object.Digest) []object.ID
}

// A problem is the body of an error.
type problem struct {
	Error string `json:"error"`
}

// A finding is a line of the answer to verify: a wrong file, or the end.
type finding struct {
	Wrong string `json:"wrong,omitempty"`
	Files *int   `json:"files,omitempty"`
	Error string `json:"error,omitempty"`
}

// dropped is the answer to drop.
type dropped struct {
	Dropped []string `json:"dropped"`
}

// NewHandler returns the handler of the control socket.
//
//	GET  /status              200 a Status
//	POST /verify              200 lines {"wrong":"blob sha256:…"}, at the end {"files":N} or {"error":"…"}
//	POST /drop?digest=DIGEST  200 {"dropped":["blob sha256:…"]}, 400 {"error":"…"}
func NewHandler(s Store) http.Handler {
	e := echo.New()
	e.GET("/status", func(c echo.Context) error {
		status, err := s.Status()
		if err != nil {
			return c.JSON(http.StatusServiceUnavailable, problem{err.Error()})
		}
		return c.JSON(http.StatusOK, status)
	})
	e.POST("/verify", func(c echo.Context) error {
		verify(c.Request().Context(), c.Response(), s)
		return nil
	})
	e.POST("/drop", func(c echo.Context) error {
		digest, ok := object.ParseDigest(c.QueryParam("digest"))
		if !ok {
			return c.JSON(http.StatusBadRequest, problem{"expected a digest such as sha256:HEX"})
		}
		answer := dropped{Dropped: []string{}}
		for _, id := range s.Drop(digest) {
			answer.Dropped = append(answer.Dropped, id.String())
		}
		return c.JSON(http.StatusOK, answer)
	})
	return e
}

// verify writes each finding at once: to read all files takes long.
func verify(ctx context.Context, w *echo.Response, s Store) {
	w.Header().Set("Content-Type", "application/jsonl")
	w.WriteHeader(http.StatusOK)
	w.Flush()
	lines := json.NewEncoder(w)
	files, err := s.Verify(ctx, func(id object.ID) {
		_ = lines.Encode(finding{Wrong: id.String()}) // who asked has left
		w.Flush()
	})
	last := finding{Files: &files}
	if err != nil {
		last = finding{Error: err.Error()}
	}
	_ = lines.Encode(last) // who asked has left
}
