package ecr

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/pullgate/pullgate/nginx/stack/sigv4"
)

const (
	unsignedBody  = "UNSIGNED-PAYLOAD"
	maxURLExpires = 7 * 24 * time.Hour // S3's limit for presigned URLs
)

// refusal is an answer to a request that is not properly signed.
type refusal struct {
	status        int
	code, message string
}

// codes are ECR's error codes for bad signatures.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
var codes = map[error]string{
	sigv4.ErrMissing:    "MissingAuthenticationTokenException",
	sigv4.ErrIncomplete: "IncompleteSignatureException",
	sigv4.ErrExpired:    "InvalidSignatureException",
	sigv4.ErrCredential: "UnrecognizedClientException",
	sigv4.ErrMismatch:   "InvalidSignatureException",
}

// verifyHeader checks the Authorization header of an API request.
func (s *Server) verifyHeader(r *http.Request, body []byte) *refusal {
	err := sigv4.Verifier{
		Credentials: s.credentials(s.opts.SessionToken), Service: "ecr", Region: s.opts.Region,
		Signed: []string{"x-amz-target"}, Now: s.opts.Now,
	}.Verify(r, body)
	for cause, code := range codes {
		if errors.Is(err, cause) {
			return &refusal{http.StatusBadRequest, code, err.Error()}
		}
	}
	if err != nil {
		return &refusal{http.StatusInternalServerError, "ServerException", err.Error()}
	}
	return nil
}

func (s *Server) credentials(session string) aws.Credentials {
	return aws.Credentials{AccessKeyID: s.opts.AccessKeyID, SecretAccessKey: s.opts.SecretAccessKey, SessionToken: session}
}

// presign returns a URL that is valid for one method and one object.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
func (s *Server) presign(method, host, path string, expires time.Duration, date time.Time) (string, error) {
	query := url.Values{"X-Amz-Expires": {fmt.Sprint(int(expires.Seconds()))}}
	scheme := "http"
	if s.opts.BucketTLS {
		scheme = "https"
	}
	u := &url.URL{Scheme: scheme, Host: host, Path: path, RawQuery: query.Encode()}
	r := &http.Request{Method: method, URL: u, Host: host, Header: http.Header{}}
	signed, _, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
		PresignHTTP(context.Background(), s.credentials(bucketSession), r, unsignedBody, "s3", s.opts.Region, date)
	if err != nil {
		return "", fmt.Errorf("signing a URL of the bucket: %w", err)
	}
	return signed, nil
}

// verifyQuery checks that presign allowed r.
func (s *Server) verifyQuery(r *http.Request) *refusal {
	query := r.URL.Query()
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		if len(query[name]) != 1 {
			return &refusal{http.StatusForbidden, "AccessDenied", "Access Denied"}
		}
	}
	date, err := time.Parse(sigv4.Time, query.Get("X-Amz-Date"))
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
	// Compare the whole query, not just the signature, because anything added or
	// changed was not signed.
	if err != nil || !equal(want.Query().Encode(), query.Encode()) {
		return &refusal{http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method."}
	}
	return nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
