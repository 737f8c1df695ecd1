package kloudless

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// maxBody bounds one answer of the API, in bytes.
const maxBody = 4 << 20

// parseBase checks that tokens sent to the API cannot be read on their way.
func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("expected a URL such as https://api.kloudless.com/v1/")
	}
	ip := net.ParseIP(base.Hostname())
	local := base.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("expected a URL with a host, and without user, query and fragment")
	case base.Scheme != "https" && (base.Scheme != "http" || !local):
		return nil, fmt.Errorf("expected https, found %s: customers' tokens are sent there (http is for loopback addresses alone)", base.Scheme)
	}
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	return base, nil
}

// below resolves a path below base. One that leads to another host would take
// the customers' tokens there.
func below(base *url.URL, path string) (*url.URL, error) {
	u, err := base.Parse(path)
	if err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || !strings.HasPrefix(u.Path, base.Path) {
		return nil, fmt.Errorf("expected a path below %s such as meta/licenses, found %q", base, path)
	}
	return u, nil
}

func newHTTPClient(caFile string) (*http.Client, error) {
	config, err := system.TLS(caFile)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:       config,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          64,
			MaxIdleConnsPerHost:   64,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: time.Minute,
		},
		// A redirect would take the customer's token to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func (c *Client) pageURL(page string) *url.URL {
	u := *c.licenses
	query := u.Query()
	query.Set("page", page)
	query.Set("page_size", strconv.Itoa(c.pageSize))
	u.RawQuery = query.Encode()
	return &u
}

// get asks for u with the customer's token. The body is read to its end, so
// that the connection is used again.
func (c *Client) get(ctx context.Context, u *url.URL, token credential.Secret) (body []byte, status int, err error) {
	start := time.Now()
	defer func() { c.observe(outcome(status, err), time.Since(start)) }()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("reading the answer: %w", err)
	case len(body) > maxBody:
		return nil, 0, fmt.Errorf("an answer of more than %d bytes", maxBody)
	}
	return body, response.StatusCode, nil
}

// outcome is a metric's label: ok, refused, or what went wrong.
func outcome(status int, err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case err != nil:
		return "error"
	case status == http.StatusOK:
		return "ok"
	case isRefusal(status):
		return "refused"
	}
	return strconv.Itoa(status)
}

// A list is a page of the API's objects.
type list struct {
	objects []any
	// next is the page to ask for after this one; empty at the end.
	next string
}

// decodeList reads a page, the number'th, of size objects at most.
//
// The API answers {"objects": […]} and either "next_page", which is what to ask
// for next, or "page", the page's own number. In the second form a page that is
// not full is the last; a full one may be the last too, and then the next is a
// 404.
func decodeList(body []byte, number, size int) (list, error) {
	value, err := decode(body)
	if err != nil {
		return list{}, err
	}
	object, _ := value.(map[string]any)
	objects, ok := object["objects"].([]any)
	if !ok {
		return list{}, errors.New(`expected a list with the key "objects", found none`)
	}
	following := strconv.Itoa(number + 1)
	switch next := object["next_page"].(type) {
	case nil:
		_, said := object["next_page"]
		if _, numbered := object["page"]; said || !numbered || len(objects) < size {
			following = ""
		}
	case float64:
		following = strconv.FormatFloat(next, 'f', -1, 64)
	case string:
		following = next
	default:
		return list{}, errors.New(`expected a number, text or null for "next_page", found something else`)
	}
	return list{objects: objects, next: following}, nil
}

// decode reads one JSON value and nothing behind it. Its errors do not quote
// the answer, which is the customer's.
func decode(body []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, errors.New("the answer is not JSON")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected one JSON value, found more behind it")
	}
	return value, nil
}
