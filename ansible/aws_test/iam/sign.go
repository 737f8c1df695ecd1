package iam

import (
	"errors"
	"net/http"

	"github.com/pullgate/pullgate/nginx/stack/sigv4"
)

// refusals are IAM's errors for bad signatures.
// https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
var refusals = map[error]Error{
	sigv4.ErrMissing:    {Status: http.StatusForbidden, Code: "MissingAuthenticationToken"},
	sigv4.ErrIncomplete: {Status: http.StatusBadRequest, Code: "IncompleteSignature"},
	sigv4.ErrExpired:    {Status: http.StatusForbidden, Code: "SignatureDoesNotMatch"},
	sigv4.ErrCredential: {Status: http.StatusForbidden, Code: "InvalidClientTokenId"},
	sigv4.ErrMismatch:   {Status: http.StatusForbidden, Code: "SignatureDoesNotMatch"},
}

// verify checks that r is signed by the account's credential.
func (s *Server) verify(r *http.Request, body []byte) *Error {
	err := sigv4.Verifier{
		Credentials: s.opts.Credentials, Service: "iam", Region: s.opts.Region,
		Signed: []string{"content-type"}, Now: s.opts.Now,
	}.Verify(r, body)
	if err == nil {
		return nil
	}
	for cause, refused := range refusals {
		if errors.Is(err, cause) {
			refused.Message = err.Error()
			return &refused
		}
	}
	return &Error{http.StatusInternalServerError, "ServiceFailure", err.Error()}
}
