package ecr_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/pullgate/pullgate/tokenrefresher/ecr"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// api is ECR's API as a function.
type api func() (*awsecr.GetAuthorizationTokenOutput, error)

func (a api) GetAuthorizationToken(context.Context, *awsecr.GetAuthorizationTokenInput, ...func(*awsecr.Options)) (*awsecr.GetAuthorizationTokenOutput, error) {
	return a()
}

// TestAnswers: what the API answers is checked, for it becomes a header and a
// host that nginx connects to.
func TestAnswers(t *testing.T) {
	const hush = "c2VjcmV0LW9mLWVjcg" // part of the token; in no error
	type data = types.AuthorizationData
	good := func(change func(*data)) []data {
		d := data{AuthorizationToken: aws.String(token), ExpiresAt: aws.Time(expires), ProxyEndpoint: aws.String("https://" + host)}
		change(&d)
		return []data{d}
	}
	endpoint := func(u string) []data { return good(func(d *data) { d.ProxyEndpoint = aws.String(u) }) }
	value := func(v string) []data { return good(func(d *data) { d.AuthorizationToken = aws.String(v) }) }
	tests := []struct {
		name       string
		registryID string
		data       []data
		wantHost   string
		want       string
	}{
		{name: "good", data: good(func(*data) {}), wantHost: host},
		{name: "slash", data: endpoint("https://" + host + "/"), wantHost: host},
		{name: "default port", data: endpoint("https://" + host + ":443"), wantHost: host},
		{name: "upper case", data: endpoint("https://" + strings.ToUpper(host)), wantHost: host},
		{name: "port", data: endpoint("https://" + host + ":8443"), wantHost: host + ":8443"},
		{name: "China", data: endpoint("https://123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"), wantHost: "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"},
		{name: "dual stack", data: endpoint("https://123456789012.dkr-ecr.eu-west-1.on.aws"), wantHost: "123456789012.dkr-ecr.eu-west-1.on.aws"},
		{name: "its account", registryID: account, data: good(func(*data) {}), wantHost: host},
		{name: "another account", registryID: "999999999999", data: good(func(*data) {}), want: "proxyEndpoint: expected a host of registry 999999999999, found " + host},
		{name: "none", want: "expected authorization data for one registry, found none or several"},
		{name: "two", data: append(good(func(*data) {}), good(func(*data) {})...), want: "expected authorization data for one registry, found none or several"},
		{name: "http", data: endpoint("http://" + host), want: "proxyEndpoint: expected https://HOST, found something else"},
		{name: "path", data: endpoint("https://" + host + "/v2"), want: "proxyEndpoint: expected https://HOST, found something else"},
		{name: "user", data: endpoint("https://a:b@" + host), want: "proxyEndpoint: expected https://HOST, found something else"},
		{name: "no host", data: endpoint("https://"), want: `proxyEndpoint: host: expected a host name in lower case, found ""`},
		{name: "no endpoint", data: good(func(d *data) { d.ProxyEndpoint = nil }), want: "proxyEndpoint: expected https://HOST, found something else"},
		{name: "no token", data: good(func(d *data) { d.AuthorizationToken = nil }), want: "authorizationToken: expected the base64 of AWS:password, found something else"},
		{name: "no base64", data: value("AWS:" + hush + "#"), want: "authorizationToken: expected the base64 of AWS:password, found something else"},
		{name: "another user", data: value(base64.StdEncoding.EncodeToString([]byte("ann:" + hush))), want: "authorizationToken: expected the base64 of AWS:password, found something else"},
		{name: "no expiry", data: good(func(d *data) { d.ExpiresAt = nil }), want: "expiresAt: expected a time, found none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := ecr.NewWithAPI(ecr.Config{RegistryID: test.registryID}, api(func() (*awsecr.GetAuthorizationTokenOutput, error) {
				return &awsecr.GetAuthorizationTokenOutput{AuthorizationData: test.data}, nil
			}))
			got, err := source.Fetch(t.Context())
			if test.want != "" {
				if err == nil || err.Error() != "asking ECR for a token: "+test.want || strings.Contains(err.Error(), hush) {
					t.Errorf("got  %v\nwant %s", err, test.want)
				}
				return
			}
			want := tokenfile.Token{Host: test.wantHost, Value: tokenfile.NewValue(token), ExpiresAt: expires}
			if err != nil || !got.Equal(want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestOwns(t *testing.T) {
	tests := []struct {
		config ecr.Config
		host   string
		want   bool
	}{
		{ecr.Config{}, host, true},
		{ecr.Config{Region: "eu-west-1", RegistryID: account}, host, true},
		{ecr.Config{Region: "eu-west-2"}, host, false},
		{ecr.Config{Region: "eu-west"}, host, false},
		{ecr.Config{RegistryID: "999999999999"}, host, false},
		{ecr.Config{Host: "a.example.com", Region: "eu-west-1"}, host, false},
		{ecr.Config{Host: "a.example.com", Region: "eu-west-1"}, "a.example.com", true},
	}
	for _, test := range tests {
		if got := ecr.New(test.config).Owns(tokenfile.Token{Host: test.host}); got != test.want {
			t.Errorf("%+v owns a token of %s: %v", test.config, test.host, got)
		}
	}
}

// TestErrorsAreClean: AWS's words name account, role and session, and at times
// repeat what was sent. A customer must see none of it, a log no secret.
func TestErrorsAreClean(t *testing.T) {
	const (
		arn     = "arn:aws:sts::123456789012:assumed-role/images/i-0abc1234"
		session = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQDsession/token+of/the+instance/that+is/as+long+as/they+are"
	)
	denied := `{"__type":"AccessDeniedException","Message":"User: ` + arn + ` is not authorized to perform: ecr:GetAuthorizationToken on resource: *"}`
	tests := []struct {
		name       string
		status     int
		body       string
		want       string
		wantDetail string
	}{
		{"denied", 400, denied, "AccessDeniedException (status 400)", arn},
		{"signature", 403, `{"__type":"InvalidSignatureException","message":"expected x-amz-security-token:` + session + ` AKIAIOSFODNN7EXAMPLE"}`,
			"InvalidSignatureException (status 403)", "expected x-amz-security-token:"},
		{"code with more in it", 400, `{"__type":"i-0abc1234 is not it"}`, "an answer that is none of the API's (status 400)", ""},
		{"HTML", 400, "<html>" + session, "an answer that is none of the API's (status 400)", ""},
		{"no JSON", 200, "<html>" + session, "an answer that is none of the API's (status 200)", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			environment(t, map[string]string{"AWS_ACCESS_KEY_ID": static.id, "AWS_SECRET_ACCESS_KEY": static.secret, "AWS_REGION": "eu-west-1"})
			_, err := ecr.New(ecr.Config{Endpoint: server.URL}).Fetch(t.Context())
			var failed *ecr.Error
			if !errors.As(err, &failed) {
				t.Fatalf("error %v is no *ecr.Error", err)
			}
			if err.Error() != "asking ECR for a token: "+test.want {
				t.Errorf("error %q, want %q", err, test.want)
			}
			if !strings.Contains(failed.Detail(), test.wantDetail) {
				t.Errorf("detail %q, want %q", failed.Detail(), test.wantDetail)
			}
			for _, part := range []string{"arn:", account, "i-0abc"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("the error has %s: %v", part, err)
				}
			}
			for _, secret := range []string{session, "AKIAIOSFODNN7EXAMPLE", static.secret} {
				if strings.Contains(err.Error()+failed.Detail(), secret) {
					t.Errorf("%s is in %v or %s", secret, err, failed.Detail())
				}
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	environment(t, map[string]string{"AWS_ACCESS_KEY_ID": static.id, "AWS_SECRET_ACCESS_KEY": static.secret, "AWS_REGION": "eu-west-1", "AWS_MAX_ATTEMPTS": "1"})
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := ecr.New(ecr.Config{Endpoint: server.URL}).Fetch(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "asking ECR for a token: no answer in time" {
		t.Errorf("hanging: %v", err)
	}
	canceled, stop := context.WithCancel(t.Context())
	stop()
	_, err = ecr.New(ecr.Config{Endpoint: server.URL}).Fetch(canceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	_, err = ecr.New(ecr.Config{Endpoint: "http://127.0.0.1:" + freePort(t)}).Fetch(t.Context())
	if err == nil || err.Error() != "asking ECR for a token: no connection" {
		t.Errorf("nobody there: %v", err)
	}
}
