package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

// A pull is what its steps share.
type pull struct {
	url     *url.URL
	address string
	image   string
	account credential.Credential
	tls     *tls.Config
	// nginx asks nginx, and outside asks the storage. Neither follows a redirect:
	// nobody else gets the credential.
	nginx, outside *http.Transport

	blob    string   // the path to ask for
	size    int64    // the blob's, as the manifest has it
	storage *url.URL // where the registry redirects to; nil for nowhere
}

func newPull(c Config, account credential.Credential) (*pull, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	roots, err := trusted(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("probe.ca_file: %w", err)
	}
	p := &pull{url: u, address: c.Address, image: c.Image, account: account}
	p.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname(), RootCAs: roots}
	p.nginx = &http.Transport{
		DialContext: p.dial, TLSClientConfig: p.tls.Clone(), ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	}
	// As a customer's client: by the environment's proxy, if there is one.
	p.outside = &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		DisableKeepAlives: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	}
	return p, nil
}

// Check says whether the files that a configuration names, except for the credential,
// can be used.
func (c Config) Check() error {
	if _, err := trusted(c.CAFile); err != nil {
		return fmt.Errorf("probe.ca_file: %w", err)
	}
	return nil
}

// trusted are the system's CAs and those of a file; nil for the system's alone.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: expected PEM certificates, found none", file)
	}
	return roots, nil
}

// dial connects to nginx.
func (p *pull) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.address != "" {
		address = p.address
	} else if p.url.Port() == "" {
		address = net.JoinHostPort(p.url.Hostname(), p.url.Scheme)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// handshake checks the server's certificate, and returns its end.
func (p *pull) handshake(ctx context.Context, conn net.Conn) (time.Time, error) {
	client := tls.Client(conn, p.tls)
	if err := client.HandshakeContext(ctx); err != nil {
		return time.Time{}, err
	}
	return client.ConnectionState().PeerCertificates[0].NotAfter, nil
}

// ask asks nginx as the account.
func (p *pull) ask(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	request, err := newRequest(ctx, p.url.Scheme+"://"+p.url.Host+path, header)
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth(p.account.User, p.account.Secret.Reveal())
	if p.url.Scheme == "http" { // in place of the balancer that terminates TLS
		request.Header.Set("X-Forwarded-Proto", "https")
	}
	return p.nginx.RoundTrip(request)
}

func newRequest(ctx context.Context, target string, header http.Header) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	for name := range header {
		request.Header.Set(name, header.Get(name))
	}
	request.Header.Set("User-Agent", "authsvc-probe/"+program.Version())
	return request, nil
}

// maxError bounds how much of an error is read, in bytes.
const maxError = 64 << 10

// A statusError is an answer with another status than expected.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

// unexpected reads the error of an answer: the registry's JSON, as customers get it
// (Distribution Specification 1.1, "Error Codes"), or the beginning of another text.
func unexpected(answer *http.Response, expected int) error {
	const maxShown = 300
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxError))
	text := string(body)
	var message struct {
		Errors []struct{ Code, Message string }
	}
	switch {
	case json.Unmarshal(body, &message) == nil && len(message.Errors) > 0:
		text = message.Errors[0].Code + ": " + message.Errors[0].Message
	case err != nil:
		text = err.Error()
	}
	if len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	return &statusError{answer.StatusCode, fmt.Sprintf("expected status %d, found %d: %s", expected, answer.StatusCode, text)}
}

// stored reads the error of the storage. Of its body only the code is shown (S3 API
// Reference, "Error Responses"): the rest may repeat the URL, whose signature opens
// the blob for whoever reads it.
func stored(answer *http.Response) error {
	var body struct{ Code string }
	text := ""
	if xml.NewDecoder(io.LimitReader(answer.Body, maxError)).Decode(&body) == nil && s3Code.MatchString(body.Code) {
		text = ": " + body.Code
	}
	return &statusError{answer.StatusCode, fmt.Sprintf("expected status %d, found %d%s", http.StatusPartialContent, answer.StatusCode, text)}
}

var s3Code = regexp.MustCompile(`^[A-Za-z]{1,64}$`)

// found says that an answer is as expected.
func found(answer *http.Response, expected int) (string, error) {
	defer answer.Body.Close() //nolint:errcheck // it is of no interest
	if answer.StatusCode != expected {
		return "", unexpected(answer, expected)
	}
	return fmt.Sprint(answer.StatusCode), nil
}

// nextOf says what to do about an unexpected status; empty if only the step matters.
func (p *pull) nextOf(failed Step, status int) string {
	switch {
	case failed == Storage:
		return ""
	case status == http.StatusUnauthorized:
		return "the account is refused: check it at the source of customers, and the token in probe.credential_file"
	case failed == Ping && (status == http.StatusForbidden || status == http.StatusNotFound):
		return "another server answered, or it refuses this machine's address: compare probe.url and probe.address with nginx's configuration"
	case status == http.StatusForbidden, status == http.StatusNotFound:
		return "the account must be licensed for " + p.image + ", and the registry must have it: authsvc explain --user " + p.account.User + " " + p.image
	case status == http.StatusTooManyRequests:
		return "the registry's rate limit: fewer machines, or a longer interval of authsvc-probe.timer"
	}
	return ""
}

// next says what to do when a step has failed.
func (p *pull) next(failed Step, err error) string {
	var status *statusError
	if errors.As(err, &status) {
		if text := p.nextOf(failed, status.status); text != "" {
			return text
		}
	}
	return map[Step]string{
		Connect:  "nginx does not take connections there, or its certificate is not for this name: systemctl status nginx, and nginx's error log",
		Ping:     "nginx, authsvc, or the source of customers: curl this machine's /_registry/health, and authsvc log --user " + p.account.User,
		Manifest: "nginx cannot reach the registry, or has no token for it: nginx's error log (resolver, CA file, network), and tokenrefresher status",
		Blob:     "nginx cannot reach the registry, or has no token for it: nginx's error log (resolver, CA file, network), and tokenrefresher status",
		Storage:  "the network from here to the registry's storage; customers' own networks need it, too",
	}[failed]
}
