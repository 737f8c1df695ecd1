package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// maxSecret bounds a secret, in bytes. In Base64 it still fits the longest header
// that nginx takes by default (8 KB).
const maxSecret = 4 << 10

// The ways to send a credential.
const (
	asBasic  = "basic"
	asBearer = "bearer"
	asHeader = "header"
	asForm   = "form"
	asJSON   = "json"
	// asClient is Basic as OAuth has it for clients: both parts are form-encoded
	// first (RFC 6749, section 2.3.1).
	asClient = "client_secret_basic"
)

var (
	// b64token is what a Bearer token is made of (RFC 6750, section 2.1).
	b64token = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)
	// A header's value would lose spaces around it.
	headerValue = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?$`)
	headerName  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")
)

// check's errors begin with the name of the setting.
func (c Credential) check(method string) error {
	switch {
	case c.As == asHeader && !isFree(c.Header):
		return fmt.Errorf("credential.header: expected the name of a header, found %q", c.Header)
	case c.inBody() && method == http.MethodGet:
		return fmt.Errorf("method: expected POST or PUT, because credential.as is %s, found GET", c.As)
	case c.inBody() && c.SecretField == "":
		return errors.New("credential.secret_field: expected the field for the secret, found nothing")
	case c.inBody() && c.SecretField == c.UserField:
		return errors.New("credential.user_field: expected another field than credential.secret_field, found the same")
	}
	return nil
}

// isFree says whether a credential may be in a header of a request.
func isFree(header string) bool {
	switch textproto.CanonicalMIMEHeaderKey(header) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade", "Te", "Content-Type", "Accept":
		return false
	}
	return headerName.MatchString(header)
}

func (c Credential) inBody() bool { return c.As == asForm || c.As == asJSON }

// sendsUser says whether the service gets the user with the secret, besides in the
// URL.
func (c Credential) sendsUser() bool { return c.As == asBasic || c.inBody() && c.UserField != "" }

// header is the header that the credential is in; empty if it is in the body.
func (c Credential) header() string {
	switch c.As {
	case asBasic, asBearer:
		return "Authorization"
	case asHeader:
		return textproto.CanonicalMIMEHeaderKey(c.Header)
	}
	return ""
}

// put puts what the customer presents into a request. What cannot be sent is
// errUnsendable or errUnsendableSecret, and the service need not be asked.
func (c Credential) put(request *http.Request, presented credential.Credential) error {
	user, secret := presented.User, presented.Secret.Reveal()
	switch {
	case c.sendsUser() && !canBeSent(user):
		return errUnsendable
	case len(secret) > maxSecret:
		return errUnsendableSecret
	}
	if c.inBody() {
		return c.putBody(request, user, secret)
	}
	value, ok := authorization(c.As, user, secret)
	if !ok {
		return errUnsendableSecret
	}
	request.Header.Set(c.header(), value)
	return nil
}

func (c Credential) putBody(request *http.Request, user, secret string) error {
	if secret == "" {
		return errUnsendableSecret
	}
	fields := map[string]string{c.SecretField: secret}
	if c.UserField != "" {
		fields[c.UserField] = user
	}
	mediaType, body := "application/json", []byte(nil)
	if c.As == asForm {
		form := url.Values{}
		for field, value := range fields {
			form.Set(field, value)
		}
		mediaType, body = "application/x-www-form-urlencoded", []byte(form.Encode())
	} else {
		var err error
		if body, err = json.Marshal(fields); err != nil {
			return errUnsendableSecret
		}
	}
	request.Header.Set("Content-Type", mediaType)
	request.ContentLength = int64(len(body))
	// A connection that was just closed can be replaced.
	request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	request.Body, _ = request.GetBody()
	return nil
}

// authorization is the value of the header; not ok if the secret cannot be in it.
func authorization(as, user, secret string) (value string, ok bool) {
	switch as {
	case asBasic:
		ok = secret != "" && !strings.Contains(user, ":")
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret)), ok
	case asClient:
		return authorization(asBasic, url.QueryEscape(user), url.QueryEscape(secret))
	case asBearer:
		return "Bearer " + secret, b64token.MatchString(secret)
	}
	return secret, headerValue.MatchString(secret)
}

// header is the header that the service credential is in; empty if there is none.
func (s Service) header() string {
	switch {
	case s.CredentialFile == "":
		return ""
	case s.As == asHeader:
		return textproto.CanonicalMIMEHeaderKey(s.Header)
	}
	return "Authorization"
}

// check's errors begin with the name of the setting.
func (s Service) check() error {
	switch {
	case s.CredentialFile == "":
		return nil
	case s.As == asHeader && !isFree(s.Header):
		return fmt.Errorf("service.header: expected the name of a header, found %q", s.Header)
	case (s.As == asBasic || s.As == asClient) && (!canBeSent(s.User) || s.As == asBasic && strings.Contains(s.User, ":")):
		return fmt.Errorf("service.user: expected the user without a colon for service.as %s, found %q", s.As, s.User)
	}
	return nil
}

// put puts the service credential into a request. The file is read for each request,
// so that a new credential is used at once.
func (s Service) put(request *http.Request) error {
	value, err := s.read()
	if err == nil {
		request.Header.Set(s.header(), value)
	}
	return err
}

func (s Service) read() (string, error) {
	file, err := os.Open(settings.SecretPath(s.CredentialFile))
	if err != nil {
		return "", fmt.Errorf("service.credential_file: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+2))
	if err != nil {
		return "", fmt.Errorf("service.credential_file: %w", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if value, ok := authorization(s.As, s.User, secret); ok && len(secret) <= maxSecret {
		return value, nil
	}
	return "", fmt.Errorf("service.credential_file: %s: expected a secret of 1 to %d bytes on one line that can be sent as %s, found something else", s.CredentialFile, maxSecret, s.As)
}
