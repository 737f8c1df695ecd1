package iam

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	amzTime      = "20060102T150405Z"
	maxClockSkew = 5 * time.Minute // AWS General Reference, "Signature Version 4"
)

// verify signs r once more with AWS's own signer, and compares the whole
// Authorization header: access key, scope, signed headers and signature.
func (s *Server) verify(r *http.Request, body []byte) *Error {
	if r.Header.Get("Authorization") == "" {
		return &Error{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
	}
	date, err := time.Parse(amzTime, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return &Error{http.StatusBadRequest, "IncompleteSignature", "Date must be in ISO-8601 'basic format'."}
	}
	if s.opts.Now().Sub(date).Abs() > maxClockSkew {
		return &Error{http.StatusForbidden, "SignatureDoesNotMatch", "Signature expired: " + date.Format(amzTime)}
	}
	if r.Header.Get("X-Amz-Security-Token") != s.opts.Credentials.SessionToken {
		return &Error{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."}
	}
	again := &http.Request{
		Method: r.Method,
		URL:    &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery},
		Host:   r.Host,
		// Of what botocore sends, it signs this and what the signer itself adds.
		Header: http.Header{"Content-Type": r.Header.Values("Content-Type")},
	}
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(context.Background(), s.opts.Credentials, again, hex.EncodeToString(sum[:]), "iam", s.opts.Region, date)
	if err != nil {
		return &Error{http.StatusInternalServerError, "ServiceFailure", fmt.Sprintf("signing: %v", err)}
	}
	if subtle.ConstantTimeCompare([]byte(again.Header.Get("Authorization")), []byte(r.Header.Get("Authorization"))) != 1 {
		return &Error{http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."}
	}
	return nil
}
