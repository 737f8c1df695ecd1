package ecr

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	algorithm     = "AWS4-HMAC-SHA256"
	amzTime       = "20060102T150405Z"
	maxClockSkew  = 5 * time.Minute // AWS General Reference, "Signature Version 4"
	unsignedBody  = "UNSIGNED-PAYLOAD"
	maxURLExpires = 7 * 24 * time.Hour // S3's bound for presigned URLs
)

// refusal is an answer to a request that is not signed as it must be.
type refusal struct {
	status        int
	code, message string
}

// verifyHeader checks the Authorization header of an API request.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
func (s *Server) verifyHeader(r *http.Request, body []byte) *refusal {
	const status = http.StatusBadRequest
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return &refusal{status, "MissingAuthenticationTokenException", "Missing Authentication Token"}
	}
	parts, ok := parseAuthorization(authorization)
	if !ok {
		return &refusal{status, "IncompleteSignatureException", "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters."}
	}
	date, err := time.Parse(amzTime, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return &refusal{status, "IncompleteSignatureException", "Date must be in ISO-8601 'basic format'."}
	}
	if skew := s.opts.Now().Sub(date).Abs(); skew > maxClockSkew {
		return &refusal{status, "InvalidSignatureException", "Signature expired: " + date.Format(amzTime)}
	}
	id, scope, _ := strings.Cut(parts["Credential"], "/")
	if id != s.opts.AccessKeyID || r.Header.Get("X-Amz-Security-Token") != s.opts.SessionToken {
		return &refusal{status, "UnrecognizedClientException", "The security token included in the request is invalid."}
	}
	if want := s.scope(date, "ecr"); scope != want {
		return &refusal{status, "InvalidSignatureException", fmt.Sprintf("Credential should be scoped to %s, found %s.", want, scope)}
	}
	signed := strings.Split(parts["SignedHeaders"], ";")
	want, err := s.signature(r, body, signed, date)
	if err != nil || !equal(want, parts["Signature"]) {
		return &refusal{status, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided."}
	}
	return nil
}

// parseAuthorization splits "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…,
// Signature=…".
func parseAuthorization(value string) (map[string]string, bool) {
	rest, ok := strings.CutPrefix(value, algorithm+" ")
	if !ok {
		return nil, false
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parts[name] == "" {
			return nil, false
		}
	}
	return parts, true
}

// signature signs what r is said to have signed, once more, with AWS's own
// signer.
func (s *Server) signature(r *http.Request, body []byte, signed []string, date time.Time) (string, error) {
	again := &http.Request{
		Method: r.Method,
		URL:    &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery},
		Host:   r.Host,
		Header: http.Header{},
	}
	has := map[string]bool{}
	for _, name := range signed {
		has[name] = true
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	if !has["host"] || !has["x-amz-date"] || !has["x-amz-target"] {
		return "", fmt.Errorf("signed headers %q lack host, x-amz-date or x-amz-target", signed)
	}
	sum := sha256.Sum256(body)
	err := v4.NewSigner().SignHTTP(context.Background(), s.credentials(s.opts.SessionToken), again, hex.EncodeToString(sum[:]), "ecr", s.opts.Region, date)
	if err != nil {
		return "", err
	}
	parts, _ := parseAuthorization(again.Header.Get("Authorization"))
	return parts["Signature"], nil
}

func (s *Server) credentials(session string) aws.Credentials {
	return aws.Credentials{AccessKeyID: s.opts.AccessKeyID, SecretAccessKey: s.opts.SecretAccessKey, SessionToken: session}
}

func (s *Server) scope(date time.Time, service string) string {
	return fmt.Sprintf("%s/%s/%s/aws4_request", date.Format("20060102"), s.opts.Region, service)
}

// presign returns a URL good for one method and one object.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
func (s *Server) presign(method, host, path string, expires time.Duration, date time.Time) (string, error) {
	query := url.Values{"X-Amz-Expires": {fmt.Sprint(int(expires.Seconds()))}}
	u := &url.URL{Scheme: "http", Host: host, Path: path, RawQuery: query.Encode()}
	r := &http.Request{Method: method, URL: u, Host: host, Header: http.Header{}}
	signed, _, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
		PresignHTTP(context.Background(), s.credentials(bucketSession), r, unsignedBody, "s3", s.opts.Region, date)
	if err != nil {
		return "", fmt.Errorf("signing a URL of the bucket: %w", err)
	}
	return signed, nil
}

// verifyQuery checks that r is what presign allowed.
func (s *Server) verifyQuery(r *http.Request) *refusal {
	query := r.URL.Query()
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		if len(query[name]) != 1 {
			return &refusal{http.StatusForbidden, "AccessDenied", "Access Denied"}
		}
	}
	date, err := time.Parse(amzTime, query.Get("X-Amz-Date"))
	seconds, derr := time.ParseDuration(query.Get("X-Amz-Expires") + "s")
	if err != nil || derr != nil || seconds < 0 || seconds > maxURLExpires {
		return &refusal{http.StatusBadRequest, "AuthorizationQueryParametersError", "X-Amz-Date and X-Amz-Expires must be a date and a number of seconds below 604800"}
	}
	if s.opts.Now().After(date.Add(seconds)) {
		return &refusal{http.StatusForbidden, "AccessDenied", "Request has expired"}
	}
	again, err := s.presign(r.Method, r.Host, r.URL.Path, seconds, date)
	if err != nil {
		return &refusal{http.StatusInternalServerError, "InternalError", err.Error()}
	}
	want, err := url.Parse(again)
	// The whole query is compared, not the signature alone: what was added or
	// changed is what was not signed.
	if err != nil || !equal(want.Query().Encode(), query.Encode()) {
		return &refusal{http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method."}
	}
	return nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
