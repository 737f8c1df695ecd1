// Package ecr fetches the token of a registry in AWS ECR with
// GetAuthorizationToken. connect.go finds the credential, as the AWS SDK does;
// error.go keeps account numbers out of errors. Package basic is the other source
// of tokens; package refresh uses both.
//
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
package ecr

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// API is the part of ECR's API that is used.
type API interface {
	GetAuthorizationToken(context.Context, *awsecr.GetAuthorizationTokenInput, ...func(*awsecr.Options)) (*awsecr.GetAuthorizationTokenOutput, error)
}

// Config says which registry, and how to get at the API. Every part may be
// empty.
type Config struct {
	// Region is the registry's; empty for that of the SDK's default chain
	// (environment, profile, instance metadata).
	Region string
	// RegistryID is the account that owns the registry, 12 digits; empty for
	// that of the credential.
	RegistryID string
	// RoleARN is a role to assume by the credential that the default chain
	// finds.
	RoleARN string
	// Endpoint is the API's URL in place of AWS's own, such as a VPC endpoint.
	Endpoint string
	// Host is the registry's host in place of the one that the API tells.
	Host string
}

// A Source fetches tokens of one registry.
type Source struct {
	config  Config
	connect func(context.Context) (API, error)
}

// New makes a Source over the AWS SDK. It asks nothing yet.
func New(c Config) *Source {
	return &Source{config: c, connect: func(ctx context.Context) (API, error) { return connect(ctx, c) }}
}

// NewWithAPI makes a Source over another API than the SDK's.
func NewWithAPI(c Config, api API) *Source {
	return &Source{config: c, connect: func(context.Context) (API, error) { return api, nil }}
}

// Fetch asks for a token. Its FetchedAt is left to the caller, which knows
// that of the token before. An *Error among its errors has the part of AWS's
// own words that only the operator may see.
func (s *Source) Fetch(ctx context.Context) (tokenfile.Token, error) {
	api, err := s.connect(ctx)
	if err != nil {
		return tokenfile.Token{}, err
	}
	var input awsecr.GetAuthorizationTokenInput
	if s.config.RegistryID != "" {
		// Deprecated, for the token opens every registry of the principal; it
		// still decides of which one proxyEndpoint is.
		input.RegistryIds = []string{s.config.RegistryID} //nolint:staticcheck // see above
	}
	output, err := api.GetAuthorizationToken(ctx, &input)
	if err != nil {
		return tokenfile.Token{}, clean("asking ECR for a token", err)
	}
	if output == nil || len(output.AuthorizationData) != 1 {
		return tokenfile.Token{}, errors.New("asking ECR for a token: expected authorization data for one registry, found none or several")
	}
	t, err := s.token(output.AuthorizationData[0])
	if err != nil {
		return tokenfile.Token{}, fmt.Errorf("asking ECR for a token: %w", err)
	}
	return t, nil
}

// Owns tells whether a token that was found in the file can be one of this
// registry: that it is not one of another account or region, from before the
// configuration was changed.
func (s *Source) Owns(t tokenfile.Token) bool {
	if s.config.Host != "" {
		return t.Host == s.config.Host
	}
	account, _, _ := strings.Cut(t.Host, ".")
	return (s.config.RegistryID == "" || account == s.config.RegistryID) &&
		(s.config.Region == "" || strings.Contains(t.Host, "."+s.config.Region+"."))
}

// token checks what the API has answered. Errors tell nothing of its value.
func (s *Source) token(data types.AuthorizationData) (tokenfile.Token, error) {
	host := s.config.Host
	if host == "" {
		var err error
		if host, err = endpointHost(aws.ToString(data.ProxyEndpoint)); err != nil {
			return tokenfile.Token{}, err
		}
		if account, _, _ := strings.Cut(host, "."); s.config.RegistryID != "" && account != s.config.RegistryID {
			return tokenfile.Token{}, fmt.Errorf("proxyEndpoint: expected a host of registry %s, found %s", s.config.RegistryID, host)
		}
	}
	value := aws.ToString(data.AuthorizationToken)
	plain, err := base64.StdEncoding.DecodeString(value)
	if user, _, _ := strings.Cut(string(plain), ":"); err != nil || user != "AWS" {
		return tokenfile.Token{}, errors.New("authorizationToken: expected the base64 of AWS:password, found something else")
	}
	expires := aws.ToTime(data.ExpiresAt)
	if expires.IsZero() {
		return tokenfile.Token{}, errors.New("expiresAt: expected a time, found none")
	}
	return tokenfile.Token{Host: host, Value: tokenfile.NewValue(value), ExpiresAt: expires.UTC().Truncate(time.Millisecond)}, nil
}

// endpointHost takes the host out of https://HOST.
func endpointHost(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", errors.New("proxyEndpoint: expected https://HOST, found something else")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	if err := tokenfile.CheckHost(host); err != nil {
		return "", fmt.Errorf("proxyEndpoint: %w", err)
	}
	return host, nil
}
