// Package file is the source whose users are in an htpasswd file and whose grants
// are in a YAML file: nothing but authsvc has to run. Either file can stand alone:
// users whose licenses another source has, or grants for the users of another one.
//
// htpasswd.go and grants.go have the two forms, package watch re-reads the files.
package file

import (
	"context"
	"fmt"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/password"
	"github.com/pullgate/pullgate/authsvc/auth/watch"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// Kind is how package config knows files.
var Kind = auth.Kind{Name: "file", Keys: keys, Read: read}

var keys = settings.Table{
	{Key: "users_file", Default: "", Usage: "htpasswd file of users, as htpasswd -B writes it (bcrypt or argon2id); users in the same letter case as in the file. Empty if another source knows the users"},
	{Key: "grants_file", Default: "", Usage: "YAML file of what each user may pull; empty if another source has the licenses (grants_from)"},
}

// Config names the files.
type Config struct {
	// UsersFile and GrantsFile are paths, as settings.SecretPath takes them;
	// one of them may be empty.
	UsersFile, GrantsFile string
}

func read(r *settings.Reader) auth.Settings {
	c := Config{UsersFile: r.Optional("users_file", r.SecretFile), GrantsFile: r.Optional("grants_file", r.SecretFile)}
	if r.Get("users_file") == "" && r.Get("grants_file") == "" {
		r.Wrong("users_file", "a file of users, or grants_file, or both")
	}
	return c
}

// New implements auth.Settings. A file that cannot be used is an error now, and a
// fault later.
func (c Config) New(ctx context.Context, env auth.Environment) (made auth.Made, err error) {
	var s source
	if c.GrantsFile != "" {
		s.accounts, err = watch.Open(ctx, env, watch.Options[accounts]{
			Setting: "grants_file", Path: settings.SecretPath(c.GrantsFile), MaxSize: maxGrantsFile,
			Parse: parseAccounts, Count: func(a accounts) int { return len(a) },
		})
		if err != nil {
			return auth.Made{}, err
		}
		made.Licenses, made.Licensed = &s, true
	}
	if c.UsersFile == "" {
		return made, nil
	}
	s.verifier, s.observe = password.New(), env.Observe
	s.users, err = watch.Open(ctx, env, watch.Options[users]{
		Setting: "users_file", Path: settings.SecretPath(c.UsersFile), MaxSize: maxUsersFile,
		Parse: func(content []byte) (users, error) {
			all, err := parseUsers(content)
			for _, hash := range all {
				s.verifier.Usual(hash)
				break
			}
			return all, err
		}, Count: func(u users) int { return len(u) },
	})
	if err != nil {
		return auth.Made{}, err
	}
	made.Source = &s
	return made, nil
}

// line puts the number of a line before an error.
func line(number int, err error) error { return fmt.Errorf("line %d: %w", number, err) }
