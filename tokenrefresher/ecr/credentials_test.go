package ecr_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/tokenrefresher/ecr"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// fetch fetches a token that must be the stand-in's.
func fetch(t *testing.T, c ecr.Config, wantHost string) {
	t.Helper()
	got, err := ecr.New(c).Fetch(t.Context())
	if err != nil {
		var failed *ecr.Error
		if errors.As(err, &failed) {
			t.Log(failed.Detail())
		}
		t.Fatal(err)
	}
	if want := (tokenfile.Token{Host: wantHost, Value: tokenfile.NewValue(token), ExpiresAt: expires}); !got.Equal(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

const host = account + ".dkr.ecr.eu-west-1.amazonaws.com"

func TestEnvironment(t *testing.T) {
	api := newECR(t, key{"AKIDENV", "env-secret", "env-session"}, "eu-west-1")
	environment(t, map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env-secret", "AWS_SESSION_TOKEN": "env-session", "AWS_REGION": "eu-west-1",
	})
	fetch(t, ecr.Config{Endpoint: api.URL}, host)
}

// TestProfile: also that a profile that changes counts, without a restart.
func TestProfile(t *testing.T) {
	profile := func(id string) string {
		return "[profile images]\nregion = eu-west-1\naws_access_key_id = " + id + "\naws_secret_access_key = profile-secret\n"
	}
	file := write(t, profile("AKIDPROFILE"))
	environment(t, map[string]string{"AWS_CONFIG_FILE": file, "AWS_PROFILE": "images"})
	api := newECR(t, key{id: "AKIDPROFILE", secret: "profile-secret"}, "eu-west-1")
	source := ecr.New(ecr.Config{Endpoint: api.URL})
	if _, err := source.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(profile("AKIDROTATED")), 0o600); err != nil {
		t.Fatal(err)
	}
	api.key.id = "AKIDROTATED"
	if _, err := source.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestWebIdentity is the way of EKS: the SDK sends the token in a file to STS.
func TestWebIdentity(t *testing.T) {
	out := key{"ASIAWEB", "web-secret", "web-session"}
	sts := newSTS(t, key{}, "AssumeRoleWithWebIdentity", map[string]string{
		"WebIdentityToken": "identity-of-the-pod", "RoleArn": "arn:aws:iam::123456789012:role/images", "RoleSessionName": "pod",
	}, out)
	api := newECR(t, out, "eu-west-1")
	environment(t, map[string]string{
		"AWS_WEB_IDENTITY_TOKEN_FILE": write(t, "identity-of-the-pod"), "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/images",
		"AWS_ROLE_SESSION_NAME": "pod", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_STS": sts.URL,
	})
	fetch(t, ecr.Config{Endpoint: api.URL}, host)
}

func TestAssumedRole(t *testing.T) {
	out := key{"ASIAROLE", "role-secret", "role-session"}
	role := "arn:aws:iam::999999999999:role/pull/images"
	sts := newSTS(t, static, "AssumeRole", map[string]string{"RoleArn": role, "RoleSessionName": "tokenrefresher"}, out)
	api := newECR(t, out, "eu-west-1")
	environment(t, map[string]string{
		"AWS_ACCESS_KEY_ID": static.id, "AWS_SECRET_ACCESS_KEY": static.secret, "AWS_ENDPOINT_URL_STS": sts.URL,
	})
	fetch(t, ecr.Config{Region: "eu-west-1", RoleARN: role, Endpoint: api.URL}, host)
}

func TestRegionRegistryAndHost(t *testing.T) {
	tests := []struct {
		name, region, want string
		config             ecr.Config
	}{
		{"region of the configuration, not of the environment", "us-gov-west-1", account + ".dkr.ecr.us-gov-west-1.amazonaws.com", ecr.Config{Region: "us-gov-west-1"}},
		{"another account's registry", "eu-west-1", "999999999999.dkr.ecr.eu-west-1.amazonaws.com", ecr.Config{RegistryID: "999999999999"}},
		{"host of the configuration", "eu-west-1", "registry.example.com:5000", ecr.Config{Host: "registry.example.com:5000", RegistryID: "999999999999"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			environment(t, map[string]string{"AWS_ACCESS_KEY_ID": static.id, "AWS_SECRET_ACCESS_KEY": static.secret, "AWS_REGION": "eu-west-1"})
			test.config.Endpoint = newECR(t, static, test.region).URL
			fetch(t, test.config, test.want)
		})
	}
}

func TestNoCredential(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		want        string
	}{
		{"no region", map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, "loading the AWS configuration: "},
		{"nothing", map[string]string{"AWS_REGION": "eu-west-1"}, "getting the AWS credential: "},
		{"no such profile", map[string]string{"AWS_REGION": "eu-west-1", "AWS_PROFILE": "none"}, "loading the AWS configuration: "},
		{"no web identity", map[string]string{"AWS_REGION": "eu-west-1", "AWS_WEB_IDENTITY_TOKEN_FILE": "/none", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x"}, "getting the AWS credential: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			environment(t, test.environment)
			_, err := ecr.New(ecr.Config{}).Fetch(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "arn:") {
				t.Errorf("error %v, want %s…", err, test.want)
			}
		})
	}
}
