// Package sql finds customers and licenses in PostgreSQL, MariaDB or MySQL, by the
// operator's own queries.
//
// A look-up is one read-only transaction: the query account gives the hashes of the
// customer's secrets, and the query grants what is licensed. The server ends a query
// that takes too long, and nothing that it answers is unbounded.
//
// Where to read on: source.go has the look-up, query.go the named parameters,
// rows.go what a row may hold, database.go the pool, dialect.go the two drivers,
// failure.go what may be told of an error.
package sql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/auth/password"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// Kind is how package config knows databases.
var Kind = auth.Kind{Name: "sql", Keys: keys, Read: read}

var keys = settings.Table{
	{Key: "driver", Default: "", Usage: "postgres, mariadb or mysql. Required"},
	{Key: "dsn_file", Default: "", Usage: "file with the data source name, such as postgres://USER:PASSWORD@HOST/DATABASE or USER:PASSWORD@tcp(HOST:3306)/DATABASE; $CREDENTIALS_DIRECTORY/NAME for a systemd credential. Required. It is read again for each new connection"},
	{Key: "ca_file", Default: "", Usage: "PEM file of CAs to trust for the server's certificate; empty for the system's"},
	{Key: "account", Default: "", Usage: "query for the secrets of :user, a row for each: subject, hash, and optionally user (the account's own name), name (the secret's), ends, reason (why it is refused); empty if this source is asked for grants alone"},
	{Key: "grants", Default: "", Usage: "query for the grants of :subject, or of :user if the query account selects user, a row for each: repository, tags (patterns, separated by spaces), expires, license, and optionally withdrawn; empty if grants_from names another source"},
	{Key: "timeout", Default: "3s", Usage: "timeout of one customer's look-up; the server ends a query in that time, too"},
	{Key: "max_connections", Default: 8, Usage: "maximum connections to the server"},
	{Key: "max_idle_time", Default: "5m", Usage: "how long an unused connection stays open"},
	{Key: "max_lifetime", Default: "30m", Usage: "how long a connection is used before another one takes its place"},
}

// Config is the settings of one database.
type Config struct {
	Driver, DSNFile, CAFile string
	// Account and Grants are the queries as the operator wrote them.
	Account, Grants          string
	Timeout                  time.Duration
	MaxConnections           int
	MaxIdleTime, MaxLifetime time.Duration
}

// maxUser bounds a user or a subject that goes to a server, in bytes. An address of
// e-mail has at most 254 (RFC 5321, section 4.5.3.1). A secret goes to none.
const maxUser = 320

const maxQuery = 16 << 10 // bytes

var drivers = regexp.MustCompile(`^(postgres|mariadb|mysql)$`)

// read builds the Config from the keys' values. Each line states the bounds.
func read(r *settings.Reader) auth.Settings {
	c := Config{
		Driver:         r.Match("driver", drivers, "postgres, mariadb or mysql"),
		DSNFile:        r.SecretFile("dsn_file"),
		CAFile:         r.Optional("ca_file", r.Path),
		Account:        r.Text("account", 0, maxQuery),
		Grants:         r.Text("grants", 0, maxQuery),
		Timeout:        r.Duration("timeout", 100*time.Millisecond, 30*time.Second),
		MaxConnections: r.Number("max_connections", 1, 200),
		MaxIdleTime:    r.Duration("max_idle_time", time.Second, time.Hour),
		MaxLifetime:    r.Duration("max_lifetime", time.Second, 24*time.Hour),
	}
	if c.Account == "" && c.Grants == "" {
		r.Wrong("account", "a query here or in grants")
	}
	return c
}

// New implements auth.Settings.
func (c Config) New(ctx context.Context, env auth.Environment) (auth.Made, error) {
	s := &source{observe: env.Observe}
	d, err := newDialect(c)
	if err != nil {
		return auth.Made{}, err
	}
	if c.Account != "" {
		s.account = &query{name: "account", columns: accountColumns, maxRows: maxSecrets}
		if err := d.parse(s.account, c.Account, "user"); err != nil {
			return auth.Made{}, fmt.Errorf("account: %w", err)
		}
	}
	if c.Grants != "" {
		s.grants = &query{name: "grants", columns: grantsColumns, maxRows: jq.MaxGrants}
		if err := d.parse(s.grants, c.Grants, "subject", "user"); err != nil {
			return auth.Made{}, fmt.Errorf("grants: %w", err)
		}
	}
	if s.account == nil && s.grants == nil {
		return auth.Made{}, errors.New("account: expected a query here or in grants, found neither")
	}
	s.db = open(ctx, c, d, env)
	made := auth.Made{Check: s.check}
	if s.grants != nil {
		made.Licensed, made.Licenses = s.account != nil, s
	}
	if s.account != nil {
		s.passwords = password.New()
		made.Source = s
	}
	return made, nil
}
