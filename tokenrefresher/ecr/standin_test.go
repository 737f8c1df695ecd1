package ecr_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/pullgate/pullgate/nginx/stack/sigv4"
)

// A key is a credential that a stand-in of AWS knows.
type key struct{ id, secret, session string }

var static = key{id: "AKIDSTATIC", secret: "static-secret"}

// A service is a strict stand-in of one service of AWS: it takes only what is signed
// (Signature Version 4) by its key, for its service and region.
type service struct {
	*httptest.Server
	name   string
	region string
	key    key
	// answer writes the answer to what was signed right.
	answer func(w http.ResponseWriter, r *http.Request, body []byte)

	mu       sync.Mutex
	refusals []string
}

func (s *service) start(t *testing.T) *service {
	t.Helper()
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		for _, refusal := range s.refusals {
			t.Errorf("%s refused: %s", s.name, refusal)
		}
	})
	return s
}

func (s *service) refuse(w http.ResponseWriter, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, why)
	w.WriteHeader(http.StatusBadRequest)
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.refuse(w, err.Error())
		return
	}
	if s.key.id != "" {
		v := sigv4.Verifier{
			Credentials: aws.Credentials{AccessKeyID: s.key.id, SecretAccessKey: s.key.secret, SessionToken: s.key.session},
			Service:     s.name, Region: s.region,
		}
		if err := v.Verify(r, body); err != nil {
			s.refuse(w, err.Error())
			return
		}
	}
	s.answer(w, r, body)
}

const (
	account = "123456789012"
	token   = "QVdTOnNlY3JldC1vZi1lY3I=" // AWS:secret-of-ecr
)

var expires = time.Date(2026, 11, 24, 6, 0, 0, 500e6, time.UTC)

// newECR is ECR's API, for one key.
func newECR(t *testing.T, k key, region string) *service {
	t.Helper()
	s := &service{name: "ecr", region: region, key: k}
	s.answer = func(w http.ResponseWriter, r *http.Request, body []byte) {
		var input struct {
			RegistryIDs []string `json:"registryIds"`
		}
		switch {
		case r.Method != http.MethodPost || r.URL.RequestURI() != "/":
			s.refuse(w, r.Method+" "+r.URL.RequestURI())
			return
		case r.Header.Get("X-Amz-Target") != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken":
			s.refuse(w, "target "+r.Header.Get("X-Amz-Target"))
			return
		case r.Header.Get("Content-Type") != "application/x-amz-json-1.1":
			s.refuse(w, "content type "+r.Header.Get("Content-Type"))
			return
		}
		if err := json.Unmarshal(body, &input); err != nil {
			s.refuse(w, err.Error())
			return
		}
		id := account
		if len(input.RegistryIDs) == 1 {
			id = input.RegistryIDs[0]
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%.3f,"proxyEndpoint":"https://%s.dkr.ecr.%s.amazonaws.com"}]}`,
			token, float64(expires.UnixMilli())/1000, id, region)
	}
	return s.start(t)
}

// newSTS is AWS's Security Token Service: one action, which hands out a key to
// whoever asks with all of the parameters.
func newSTS(t *testing.T, k key, action string, parameters map[string]string, out key) *service {
	t.Helper()
	s := &service{name: "sts", region: "eu-west-1", key: k}
	s.answer = func(w http.ResponseWriter, r *http.Request, body []byte) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := r.ParseForm(); err != nil || r.PostForm.Get("Action") != action {
			s.refuse(w, fmt.Sprintf("action %q, %v", r.PostForm.Get("Action"), err))
			return
		}
		for name, want := range parameters {
			if got := r.PostForm.Get(name); got != want {
				s.refuse(w, fmt.Sprintf("%s is %q, expected %q", name, got, want))
				return
			}
		}
		w.Header().Set("Content-Type", "text/xml")
		_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials>`+
			`<AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>%[3]s</SecretAccessKey><SessionToken>%[4]s</SessionToken>`+
			`<Expiration>%[5]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
			action, out.id, out.secret, out.session, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}
	return s.start(t)
}

// environment makes the process's environment one without any AWS in it but
// for variables.
func environment(t *testing.T, variables map[string]string) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // restored after the test
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("HOME", none)
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
