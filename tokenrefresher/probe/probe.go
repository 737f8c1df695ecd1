// Package probe tests a token at its registry before package refresh replaces one
// that is known to be good.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// ErrRejected is what a *Error wraps when the registry refused the token. After
// any other error the token may still be good.
var ErrRejected = errors.New("the registry rejects the token")

// timeout bounds one test. It is shorter than a whole refresh may take, so that a
// registry that hangs leaves time to store the token untested.
const timeout = 10 * time.Second

// maxDetail bounds how much of a registry's answer is logged, in bytes.
const maxDetail = 512

// An Error is a test that did not end with 200. ECR's own message names the
// account and the session, so Error leaves it out; Detail has it, without the
// token, for the operator's log.
type Error struct {
	text, detail string
	cause        error
}

// Error says what was expected and found.
func (e *Error) Error() string { return e.text }

// Detail is the registry's answer, for the operator's log only.
func (e *Error) Detail() string { return e.detail }

// Unwrap returns ErrRejected or the request's error.
func (e *Error) Unwrap() error { return e.cause }

// A Prober tests tokens at a registry.
type Prober struct {
	client *http.Client
	url    string
}

// New makes a Prober. An empty url means https://HOST/v2/ with the token's host.
// caFile is a PEM file of CAs to trust for the registry's certificate; empty for
// the system's.
func New(url, caFile string) (*Prober, error) {
	config, err := system.TLS(caFile)
	if err != nil {
		return nil, err
	}
	return &Prober{url: url, client: &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     config,
			TLSHandshakeTimeout: timeout,
			DisableKeepAlives:   true, // the next test is hours away
			ForceAttemptHTTP2:   true,
		},
		// The token must not follow a redirect.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Try requests GET /v2/ with t (Distribution API, end-1: 200 if the credential is
// good). Its error is a *Error.
func (p *Prober) Try(ctx context.Context, t tokenfile.Token) error {
	target := p.url
	if target == "" {
		target = "https://" + t.Host + "/v2/"
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fmt.Errorf("testing the token: %w", err)
	}
	request.Header.Set("Authorization", t.Authorization())
	request.Header.Set("User-Agent", "tokenrefresher")
	response, err := p.client.Do(request)
	if err != nil {
		return unanswered(t, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	// As much as arrives, and enough to recognize a token at the end of the detail.
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxDetail+tokenfile.MaxToken))
	detail := t.Redact(string(body))
	e := &Error{
		text:   fmt.Sprintf("testing the token at the registry: expected status 200, found %d", response.StatusCode),
		detail: printable(detail[:min(maxDetail, len(detail))]),
	}
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		e.text = fmt.Sprintf("%v: expected status 200, found %d", ErrRejected, response.StatusCode)
		e.cause = ErrRejected
	}
	return e
}

func unanswered(t tokenfile.Token, err error) error {
	// Without the URL, which may be internal.
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	what := "no answer"
	if errors.Is(err, context.DeadlineExceeded) {
		what = "no answer in time"
	}
	return &Error{text: "testing the token at the registry: " + what, detail: printable(t.Redact(err.Error())), cause: err}
}

func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(strings.TrimSpace(text), "?"))
}
