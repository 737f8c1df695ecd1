package ecr

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
)

// bucketSession is the session token in the signed URLs. The original's URLs have
// one of about this size, which makes Location long.
var bucketSession = "IQoJb3JpZ2luX2VjE" + strings.Repeat("EXAMPLEsession/token+", 40)

// object is a blob in the bucket.
type object struct{ repository, digest string }

// store creates an opaque key for the blob.
func (s *Server) store(o object) (key string) {
	sum := sha256.Sum256([]byte(s.opts.SecretAccessKey + "\x00" + o.repository + "\x00" + o.digest))
	key = hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = o
	return key
}

// serveBucket is S3 for GET with a signed URL, and nothing else.
func (s *Server) serveBucket(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "AmazonS3")
	w.Header().Set("X-Amz-Request-Id", requestID())
	w.Header().Set("X-Amz-Id-2", randomText(76))
	if r.Header.Get("Authorization") != "" {
		s3Error(w, refusal{http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified"})
		return
	}
	// A method other than the signed one gives another signature.
	if refused := s.verifyQuery(r); refused != nil {
		s3Error(w, *refused)
		return
	}
	s.mu.Lock()
	o, ok := s.objects[strings.TrimPrefix(r.URL.Path, "/"+s.bucketPrefix())]
	s.mu.Unlock()
	if !ok {
		s3Error(w, refusal{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."})
		return
	}
	s.serveObject(w, r, o)
}

// bucketPrefix is the start of a key, before its secret part.
func (s *Server) bucketPrefix() string { return s.opts.Account + "/" }

func (s *Server) serveObject(w http.ResponseWriter, r *http.Request, o object) {
	resp, err := s.opts.Backend.do(r, http.MethodGet, "/v2/"+o.repository+"/blobs/"+o.digest)
	if err != nil {
		s3Error(w, refusal{http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again."})
		return
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
	case http.StatusNotModified:
		w.WriteHeader(resp.StatusCode)
		return
	case http.StatusRequestedRangeNotSatisfiable:
		s3Error(w, refusal{resp.StatusCode, "InvalidRange", "The requested range is not satisfiable"})
		return
	default:
		s3Error(w, refusal{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."})
		return
	}
	copyHeaders(w.Header(), resp.Header, "Content-Length", "Content-Range", "Etag")
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // a client that has left needs no error
}

// s3Error writes S3's XML.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func s3Error(w http.ResponseWriter, r refusal) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: r.code, Message: r.message})
}
