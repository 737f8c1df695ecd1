package ecr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// An Error is a failure of AWS. AWS's own message names the account, the role and
// the session, so Error leaves it out and may be shown to anybody. Detail has it,
// without secrets, for the operator's log.
type Error struct {
	doing, what, detail string
	cause               error // context.Canceled, context.DeadlineExceeded or nil
}

// Error says what was being done, and the code or kind of the failure.
func (e *Error) Error() string { return e.doing + ": " + e.what }

// Detail is AWS's or the SDK's message, for the operator's log only.
func (e *Error) Detail() string { return e.detail }

// Unwrap returns the context's error, if it was that.
func (e *Error) Unwrap() error { return e.cause }

func clean(doing string, err error) *Error {
	e := &Error{doing: doing, detail: scrub(err.Error())}
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			e.cause = cause
		}
	}
	e.what = kind(err)
	return e
}

// The grammar of an error code, so that nothing else passes as one.
var code = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.]{0,63}$`)

func kind(err error) string {
	status := ""
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && response.HTTPStatusCode() != 0 {
		status = fmt.Sprintf(" (status %d)", response.HTTPStatusCode())
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && code.MatchString(api.ErrorCode()) {
		return api.ErrorCode() + status
	}
	if status != "" {
		return "an answer that is none of the API's" + status
	}
	if errors.Is(err, context.Canceled) {
		return "canceled"
	}
	// The context's deadline is a net.Error whose Timeout is true.
	if failure, ok := errors.AsType[net.Error](err); ok {
		if failure.Timeout() {
			return "no answer in time"
		}
		return "no connection"
	}
	return "failed; the log has the detail"
}

const maxDetail = 2048

// What looks like a secret: access key ids, signatures, and what is as long as
// session tokens and ECR's are.
var secrets = regexp.MustCompile(`\b(AKIA|ASIA)[A-Z0-9]{12,}|\b[0-9a-fA-F]{64}\b|[A-Za-z0-9+/=_%-]{100,}|(?i:(Basic|Bearer) )[A-Za-z0-9+/=._-]+`)

// scrub makes text fit for a log.
func scrub(text string) string {
	text = secrets.ReplaceAllString(text, "***")
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, text)
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + " …"
	}
	return text
}
