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

// Config names the registry and how to reach the API. Every field may be empty.
type Config struct {
	// Region is the registry's region; empty for the one from the SDK's default
	// chain (environment, profile, instance metadata).
	Region string
	// RegistryID is the account that owns the registry, 12 digits; empty for the
	// credential's own account.
	RegistryID string
	// RoleARN is a role to assume with the default chain's credential.
	RoleARN string
	// Endpoint is the API's URL, such as a VPC endpoint; empty for AWS's own.
	Endpoint string
	// Host is the registry's host; empty for the one that the API returns.
	Host string
}

// A Source fetches tokens of one registry.
type Source struct {
	config  Config
	connect func(context.Context) (API, error)
}

// New makes a Source over the AWS SDK. It sends no request yet.
func New(c Config) *Source {
	return &Source{config: c, connect: func(ctx context.Context) (API, error) { return connect(ctx, c) }}
}

// NewWithAPI makes a Source over an API other than the SDK's.
func NewWithAPI(c Config, api API) *Source {
	return &Source{config: c, connect: func(context.Context) (API, error) { return api, nil }}
}

// Fetch requests a token. The caller sets FetchedAt, since it knows the previous
// token's. An *Error among its errors has the part of AWS's message that only the
// operator may see.
func (s *Source) Fetch(ctx context.Context) (tokenfile.Token, error) {
	api, err := s.connect(ctx)
	if err != nil {
		return tokenfile.Token{}, err
	}
	var input awsecr.GetAuthorizationTokenInput
	if s.config.RegistryID != "" {
		// Deprecated, because the token opens every registry of the principal;
		// but it still decides which registry proxyEndpoint names.
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

// Owns says whether a token found in the file can be for this registry, and not
// for another account or region from before a change of the configuration.
func (s *Source) Owns(t tokenfile.Token) bool {
	if s.config.Host != "" {
		return t.Host == s.config.Host
	}
	account, _, _ := strings.Cut(t.Host, ".")
	return (s.config.RegistryID == "" || account == s.config.RegistryID) &&
		(s.config.Region == "" || strings.Contains(t.Host, "."+s.config.Region+"."))
}

// token checks the API's answer. Errors reveal nothing of the token's value.
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

// endpointHost extracts the host from https://HOST.
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
