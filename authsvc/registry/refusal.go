package registry

import "net/http"

// A Code is an error code of the Distribution API (Distribution Specification 1.1,
// "Error Codes"). The last three are from the CNCF distribution registry; clients
// know them as well.
type Code string

// The error codes that a customer can meet.
const (
	Unauthorized    Code = "UNAUTHORIZED"
	Denied          Code = "DENIED"
	NameInvalid     Code = "NAME_INVALID"
	NameUnknown     Code = "NAME_UNKNOWN"
	DigestInvalid   Code = "DIGEST_INVALID"
	TagInvalid      Code = "TAG_INVALID"
	ManifestUnknown Code = "MANIFEST_UNKNOWN"
	BlobUnknown     Code = "BLOB_UNKNOWN"
	Unsupported     Code = "UNSUPPORTED"
	TooManyRequests Code = "TOOMANYREQUESTS"
	Unavailable     Code = "UNAVAILABLE"

	PaginationNumberInvalid Code = "PAGINATION_NUMBER_INVALID"
)

// Codes returns all of them.
func Codes() []Code {
	return []Code{Unauthorized, Denied, NameInvalid, NameUnknown, DigestInvalid, TagInvalid, ManifestUnknown, BlobUnknown,
		Unsupported, TooManyRequests, Unavailable, PaginationNumberInvalid}
}

// A Refusal is a refused request. It is deliberately not an error: an error is an
// outage, and the compiler keeps the two apart.
type Refusal struct {
	// Status is the HTTP status that the client gets.
	Status int
	Code   Code
	// Message is a sentence for the customer: docker, podman and Kubernetes
	// print it. It must contain nothing that the customer may not know.
	Message string
	// RetryAfter is in seconds, for statuses 429 and 503.
	RetryAfter int
}

// String shows code and message, as docker does.
func (r *Refusal) String() string { return string(r.Code) + ": " + r.Message }

// statuses are the HTTP statuses of the codes (Distribution Specification 1.1,
// "Error Codes"). Unsupported has others within this package.
var statuses = map[Code]int{
	Unauthorized:            http.StatusUnauthorized,
	Denied:                  http.StatusForbidden,
	NameInvalid:             http.StatusBadRequest,
	NameUnknown:             http.StatusNotFound,
	DigestInvalid:           http.StatusBadRequest,
	TagInvalid:              http.StatusBadRequest,
	ManifestUnknown:         http.StatusNotFound,
	BlobUnknown:             http.StatusNotFound,
	Unsupported:             http.StatusNotFound,
	TooManyRequests:         http.StatusTooManyRequests,
	Unavailable:             http.StatusServiceUnavailable,
	PaginationNumberInvalid: http.StatusBadRequest,
}

// Refuse makes a refusal with the status of its code.
func Refuse(code Code, message string) *Refusal {
	return &Refusal{Status: statuses[code], Code: code, Message: message}
}

// RefusePath refuses a path that the API does not have.
func RefusePath() *Refusal {
	return Refuse(Unsupported, "this path is not part of the registry API")
}

// malformed refuses a request that does not parse.
func malformed(code Code, message string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: code, Message: message}
}
