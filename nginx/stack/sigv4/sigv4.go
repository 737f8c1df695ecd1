// Package sigv4 verifies the signatures of requests to stand-ins for AWS (Signature
// Version 4). It signs the same request with AWS's own signer and compares.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
package sigv4

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Time is the layout of X-Amz-Date.
const Time = "20060102T150405Z"

// maxClockSkew is how far a signature may be in the past or future.
const maxClockSkew = 5 * time.Minute

// Why a request is refused. Each service has its own error codes.
var (
	ErrMissing    = errors.New("missing authentication token")
	ErrIncomplete = errors.New("incomplete signature")
	ErrExpired    = errors.New("signature expired")
	ErrCredential = errors.New("unknown access key or session token")
	ErrMismatch   = errors.New("the signature that was calculated does not match the one provided")
)

// A Verifier accepts signatures of one credential, for one service in one region.
type Verifier struct {
	Credentials     aws.Credentials
	Service, Region string
	// Signed are headers that must be signed, in addition to those that every
	// signer signs.
	Signed []string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/[^ ,]+, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$`)

// Verify checks the Authorization header of r. Its error wraps one of the above.
func (v Verifier) Verify(r *http.Request, body []byte) error {
	sent := r.Header.Get("Authorization")
	if sent == "" {
		return ErrMissing
	}
	parts := authorization.FindStringSubmatch(sent)
	if parts == nil {
		return fmt.Errorf("%w: expected Credential, SignedHeaders and Signature, found %q", ErrIncomplete, sent)
	}
	date, err := time.Parse(Time, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	now := v.Now
	if now == nil {
		now = time.Now
	}
	if now().Sub(date).Abs() > maxClockSkew {
		return fmt.Errorf("%w: signed at %v, now it is %v", ErrExpired, date, now())
	}
	if parts[1] != v.Credentials.AccessKeyID || r.Header.Get("X-Amz-Security-Token") != v.Credentials.SessionToken {
		return fmt.Errorf("%w: found %s, expected %s", ErrCredential, parts[1], v.Credentials.AccessKeyID)
	}
	want, err := v.sign(r, body, append(strings.Split(parts[2], ";"), v.Signed...), date)
	if err != nil {
		return err
	}
	// Compare the whole header: key, scope, signed headers and signature.
	if subtle.ConstantTimeCompare([]byte(want), []byte(sent)) != 1 {
		return fmt.Errorf("%w: found %s, expected %s", ErrMismatch, sent, want)
	}
	return nil
}

// sign returns the Authorization header of r.
func (v Verifier) sign(r *http.Request, body []byte, signed []string, date time.Time) (string, error) {
	again := &http.Request{
		Method: r.Method,
		URL:    &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery},
		Host:   r.Host,
		Header: http.Header{},
	}
	for _, name := range signed {
		switch name = http.CanonicalHeaderKey(name); name {
		case "Host":
		case "Content-Length":
			again.ContentLength = int64(len(body))
		default:
			again.Header[name] = r.Header[name]
		}
	}
	sum := sha256.Sum256(body)
	err := v4.NewSigner().SignHTTP(context.Background(), v.Credentials, again, hex.EncodeToString(sum[:]), v.Service, v.Region, date)
	return again.Header.Get("Authorization"), err
}
