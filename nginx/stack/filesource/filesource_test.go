package filesource_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/file"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/nginx/stack/filesource"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// TestWrite: authsvc reads what is written, and a customer has what was sold.
func TestWrite(t *testing.T) {
	files := filesource.New(t.TempDir())
	err := files.Write(map[string]vendorapi.Account{
		"ann-secret": {Email: "ann@acme.example", Licenses: []vendorapi.License{
			{ID: "l1", Expiration: time.Now().Add(time.Hour), Releases: []vendorapi.Release{{Repository: "a", Tags: []string{"1.*", "2"}}}},
			{ID: "l2", Inactive: true, Releases: []vendorapi.Release{{Repository: "b", Tags: []string{"*"}}}},
		}},
		"bob-secret": {Email: "bob@bygone.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	made, err := (file.Config{UsersFile: files.Users, GrantsFile: files.Grants}).New(t.Context(), auth.Environment{
		Logger: slog.New(slog.DiscardHandler), Observe: func(context.Context, string, time.Duration) {}, Fault: func(string, error) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]int{"ann-secret": 3, "wrong": -1} {
		d, err := made.Source.Authenticate(t.Context(), credential.Credential{User: "ann@acme.example", Secret: credential.NewSecret(secret)})
		if err != nil || (d.Refusal == "") != (want >= 0) || want >= 0 && d.Grants.Len() != want {
			t.Errorf("%s: %+v, %v", secret, d, err)
		}
	}
}
