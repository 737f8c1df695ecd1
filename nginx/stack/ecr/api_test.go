package ecr_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/smithy-go"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// session is a session token, as in an instance role's credentials.
const session = "session token"

func ask(ctx context.Context, w *world, change func(*awsecr.Options), ids ...string) (*awsecr.GetAuthorizationTokenOutput, error) {
	opts := awsecr.Options{
		Region:           ecr.Region,
		BaseEndpoint:     aws.String(w.API.URL()),
		Credentials:      credentials.NewStaticCredentialsProvider(ecr.AccessKeyID, ecr.SecretAccessKey, session),
		RetryMaxAttempts: 1,
	}
	change(&opts)
	return awsecr.New(opts).GetAuthorizationToken(ctx, &awsecr.GetAuthorizationTokenInput{RegistryIds: ids}) //nolint:staticcheck // deprecated, and still sent by many
}

// Sources: ECR API Reference, GetAuthorizationToken and Common Errors.
func TestAPIWithTheSDK(t *testing.T) {
	w := newWorld(t, ecr.Options{SessionToken: session})
	key := func(id, secret, session string) func(*awsecr.Options) {
		return func(o *awsecr.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, session) }
	}
	for _, tt := range []struct {
		name   string
		change func(*awsecr.Options)
		fault  *standin.Fault
		ids    []string
		code   string // of the error, empty for none
	}{
		{"good", func(*awsecr.Options) {}, nil, nil, ""},
		{"with registry id", func(*awsecr.Options) {}, nil, []string{ecr.Account}, ""},
		{"registry id that is none", func(*awsecr.Options) {}, nil, []string{"acme"}, "InvalidParameterException"},
		{"unknown key", key("AKIDNOTHERE", ecr.SecretAccessKey, session), nil, nil, "UnrecognizedClientException"},
		{"wrong secret", key(ecr.AccessKeyID, "guess", session), nil, nil, "InvalidSignatureException"},
		{"no session token", key(ecr.AccessKeyID, ecr.SecretAccessKey, ""), nil, nil, "UnrecognizedClientException"},
		{"another region", func(o *awsecr.Options) { o.Region = "us-east-1" }, nil, nil, "InvalidSignatureException"},
		{"unsigned", func(o *awsecr.Options) { o.Credentials = aws.AnonymousCredentials{} }, nil, nil, "MissingAuthenticationTokenException"},
		{"throttled", func(*awsecr.Options) {}, &standin.Fault{Status: 400, Times: 1, Body: ecr.APIFault("ThrottlingException", "Rate exceeded")}, nil, "ThrottlingException"},
		{"denied", func(*awsecr.Options) {}, &standin.Fault{Status: 400, Times: 1, Body: ecr.APIFault("AccessDeniedException", "User: arn:…")}, nil, "AccessDeniedException"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.fault != nil {
				w.API.Inject(*tt.fault)
			}
			out, err := ask(t.Context(), w, tt.change, tt.ids...)
			var api smithy.APIError
			if errors.As(err, &api); (err != nil) != (tt.code != "") || api != nil && api.ErrorCode() != tt.code {
				t.Fatalf("error %v, want code %q", err, tt.code)
			}
			if err == nil {
				checkToken(t, w, out)
			}
		})
	}
}

func checkToken(t *testing.T, w *world, out *awsecr.GetAuthorizationTokenOutput) {
	t.Helper()
	if len(out.AuthorizationData) != 1 {
		t.Fatalf("%d authorizations, want 1", len(out.AuthorizationData))
	}
	data := out.AuthorizationData[0]
	if want := fmt.Sprintf("https://123456789012.dkr.ecr.eu-central-1.amazonaws.com:%d", w.Front.Port()); *data.ProxyEndpoint != want {
		t.Errorf("proxyEndpoint %s, want %s", *data.ProxyEndpoint, want)
	}
	if life := data.ExpiresAt.Sub(w.now()); (life - 12*time.Hour).Abs() > time.Second {
		t.Errorf("lifetime %s, want 12 h", life)
	}
	if got := w.front(t, "GET", "/v2/", "Basic "+*data.AuthorizationToken); got.status != 200 {
		t.Errorf("the front answers the token with %d", got.status)
	}
}

// Source: AWS General Reference: a signature is good for five minutes.
func TestAPIRefusesAnOldSignature(t *testing.T) {
	w := newWorld(t, ecr.Options{})
	w.pass(6 * time.Minute)
	_, err := ask(t.Context(), w, func(o *awsecr.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(ecr.AccessKeyID, ecr.SecretAccessKey, "")
	})
	if err == nil || !strings.Contains(err.Error(), "signature expired") {
		t.Errorf("error %v, want an expired signature", err)
	}
}
