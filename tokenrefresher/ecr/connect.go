package ecr

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// sessionName is what CloudTrail shows for an assumed role.
const sessionName = "tokenrefresher"

// connect reloads the SDK's configuration for each token. Tokens are hours apart,
// so the cost does not matter, and a changed profile or credentials file takes
// effect. It gets the credential here rather than with the first request, so that
// the error shows which of the two failed.
func connect(ctx context.Context, c Config) (API, error) {
	options := []func(*config.LoadOptions) error{
		// The SDK's own log lines are not JSON.
		config.WithLogger(logging.Nop{}),
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	} else {
		options = append(options, config.WithEC2IMDSRegion())
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, clean("loading the AWS configuration", err)
	}
	if c.RoleARN != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(loaded), c.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = sessionName
		})
		loaded.Credentials = aws.NewCredentialsCache(role)
	}
	if _, err := loaded.Credentials.Retrieve(ctx); err != nil {
		return nil, clean("getting the AWS credential", err)
	}
	return awsecr.NewFromConfig(loaded, func(o *awsecr.Options) {
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
	}), nil
}
