// Package iam is a stand-in for AWS IAM, as far as ansible/aws.yml needs it: the
// Query API, version 2010-05-08, with its errors. It is strict: it refuses requests
// that are unsigned, unknown, incomplete, or not permitted.
// https://docs.aws.amazon.com/IAM/latest/APIReference/
package iam

import (
	"encoding/xml"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	version   = "2010-05-08"
	namespace = "https://iam.amazonaws.com/doc/" + version + "/"
	requestID = "7a62c49f-347e-4fc4-9331-6e8eEXAMPLE"
	maxBody   = 1 << 20
)

// Options of a Server.
type Options struct {
	Credentials aws.Credentials
	// AccountID is the account of the credentials.
	AccountID string
	// Region is the one in which the partition has its IAM.
	Partition, Region string
	// Allowed are the actions that the credentials may take, as "GetRole".
	Allowed []string
	// Roles are the ARNs of those in other accounts, which a trust may name.
	Roles []string
	Now   func() time.Time
}

// A Server is one account's IAM.
type Server struct {
	opts Options

	mu      sync.Mutex
	account Account
	calls   []string
	faults  map[string][]*Error
}

// New returns the IAM of an empty account.
func New(opts Options) *Server {
	return &Server{
		opts:    opts,
		account: Account{Roles: map[string]*Role{}, InstanceProfiles: map[string]*InstanceProfile{}},
		faults:  map[string][]*Error{},
	}
}

// An Error is an answer of IAM that is not a result.
type Error struct {
	Status        int
	Code, Message string
}

// Change lets f read and change the account directly.
func (s *Server) Change(f func(*Account)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.account)
}

// Fail answers the next call of action with err. Further ones queue up.
func (s *Server) Fail(action string, err *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[action] = append(s.faults[action], err)
}

// Calls returns the actions that were asked for since the last Calls.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// Changes reports whether an action can change the account.
func Changes(action string) bool {
	return !strings.HasPrefix(action, "Get") && !strings.HasPrefix(action, "List")
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	action, result, err := s.answer(r)
	s.calls = append(s.calls, action)
	if err != nil {
		write(w, err.Status, errorResponse{
			Xmlns: namespace, Type: "Sender", Code: err.Code, Message: err.Message, RequestID: requestID,
		})
		return
	}
	write(w, http.StatusOK, response{
		XMLName: xml.Name{Local: action + "Response"}, Xmlns: namespace,
		Result: element{Name: action + "Result", Value: result}, RequestID: requestID,
	})
}

func (s *Server) answer(r *http.Request) (action string, result any, refused *Error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return "", nil, &Error{http.StatusBadRequest, "ValidationError", "the body cannot be read: " + err.Error()}
	}
	form, err := url.ParseQuery(string(body))
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.Method != http.MethodPost || r.URL.RequestURI() != "/" {
		return "", nil, &Error{http.StatusBadRequest, "MalformedQueryString", "want POST / with a form, got " + r.Method + " " + r.URL.RequestURI()}
	}
	action = form.Get("Action")
	if refused := s.verify(r, body); refused != nil {
		return action, nil, refused
	}
	a, ok := actions[action]
	if !ok || form.Get("Version") != version {
		return action, nil, &Error{http.StatusBadRequest, "InvalidAction",
			fmt.Sprintf("Could not find operation %s for version %s", action, form.Get("Version"))}
	}
	if !slices.Contains(s.opts.Allowed, action) {
		return action, nil, &Error{http.StatusForbidden, "AccessDenied", "User is not authorized to perform: iam:" + action}
	}
	if refused := a.check(form); refused != nil {
		return action, nil, refused
	}
	if queue := s.faults[action]; len(queue) > 0 {
		s.faults[action] = queue[1:]
		return action, nil, queue[0]
	}
	result, refused = a.run(s, form)
	return action, result, refused
}

// An action is known by its parameters. Those of a list stand as "Tags.Key".
type action struct {
	required, optional []string
	run                func(*Server, url.Values) (any, *Error)
}

var memberRegexp = regexp.MustCompile(`\.member\.[1-9][0-9]*`)

// check refuses parameters that are missing, unknown or given twice. IAM
// itself overlooks unknown ones; here they would be a mistake in the test.
func (a action) check(form url.Values) *Error {
	for name, values := range form {
		plain := memberRegexp.ReplaceAllString(name, "")
		known := slices.Contains([]string{"Action", "Version"}, name) || slices.Contains(a.required, plain) || slices.Contains(a.optional, plain)
		if !known || len(values) != 1 {
			return invalid("%s is not a parameter, or is given %d times", name, len(values))
		}
	}
	for _, name := range a.required {
		if form.Get(name) == "" && form.Get(name+".member.1") == "" {
			return invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", name)
		}
	}
	return nil
}

func invalid(format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, args...)}
}

// write sends one XML document.
func write(w http.ResponseWriter, status int, document any) {
	b, err := xml.Marshal(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-RequestId", requestID)
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client has gone if it fails
}
