package stack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// schema is a vendor's, as authsvc/examples/sql.yaml has it.
const schema = `
CREATE TABLE customers (
    id     varchar(64)  PRIMARY KEY,
    email  varchar(255) NOT NULL UNIQUE,
    reason varchar(200)
);
CREATE TABLE tokens (
    customer varchar(64)  NOT NULL REFERENCES customers (id),
    name     varchar(64)  NOT NULL,
    hash     varchar(255) NOT NULL,
    ends     timestamp    NULL,
    PRIMARY KEY (customer, name)
);
CREATE TABLE licenses (
    id         varchar(64)  NOT NULL,
    customer   varchar(64)  NOT NULL REFERENCES customers (id),
    repository varchar(255) NOT NULL,
    tags       varchar(255) NOT NULL,
    expires    timestamp    NULL,
    withdrawn  boolean      NOT NULL DEFAULT false
);
CREATE INDEX licenses_customer ON licenses (customer);
GRANT SELECT ON customers TO authsvc;
GRANT SELECT ON tokens TO authsvc;
GRANT SELECT ON licenses TO authsvc;
`

// The queries of the example.
const (
	accountQuery = `SELECT c.id AS subject, c.email AS "user", t.hash, t.name, t.ends, c.reason
FROM customers c JOIN tokens t ON t.customer = c.id
WHERE c.email = :user`
	grantsQuery = `SELECT repository, tags, expires, id AS license, withdrawn
FROM licenses WHERE customer = :subject`
)

// Customers are a vendor's customers in a Database.
type Customers struct {
	*Database
	dsn string
}

// StartCustomers starts a server of a driver, with tables for customers and a role that
// may read them.
func StartCustomers(ctx context.Context, driver string) (*Customers, error) {
	d, err := StartDatabase(ctx, driver)
	if err != nil {
		return nil, err
	}
	c := &Customers{Database: d, dsn: filepath.Join(d.Dir, "dsn")}
	if err := c.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("creating the tables: %w", err), d.Close())
	}
	return c, nil
}

func (c *Customers) load(ctx context.Context) error {
	password, err := c.CreateRole(ctx, "authsvc")
	if err != nil {
		return err
	}
	if _, err := c.Admin.ExecContext(ctx, c.dialect(schema)); err != nil {
		return err
	}
	return os.WriteFile(c.dsn, []byte(c.DSN("authsvc", password)+"\n"), 0o600)
}

// dialect returns SQL for the server: MariaDB's timestamps end in 2038.
func (c *Customers) dialect(sql string) string {
	if c.Driver == MariaDB {
		return strings.NewReplacer(`"`, "`", "timestamp", "datetime").Replace(sql)
	}
	return sql
}

// Source is an entry of authsvc's sources.
func (c *Customers) Source(name string) map[string]any {
	return map[string]any{
		"name": name, "kind": "sql", "driver": c.Driver, "dsn_file": c.dsn, "ca_file": c.CAFile(),
		"account": c.dialect(accountQuery), "grants": grantsQuery,
	}
}

// SetAccount adds the account with this token, or replaces it.
func (c *Customers) SetAccount(ctx context.Context, token string, a vendorapi.Account) error {
	tx, err := c.Admin.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit, there is nothing to roll back
	run := func(statement string, values ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, c.numbered(statement), values...)
		}
	}
	id := "cus_" + fmt.Sprintf("%x", sha256.Sum256([]byte(a.Email)))[:12]
	for _, table := range []string{"licenses", "tokens"} {
		run("DELETE FROM "+table+" WHERE customer = ?", id)
	}
	run("DELETE FROM customers WHERE id = ?", id)
	run("INSERT INTO customers (id, email) VALUES (?, ?)", id, a.Email)
	run("INSERT INTO tokens (customer, name, hash) VALUES (?, 'ci', ?)", id, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(token))))
	for _, l := range a.Licenses {
		var expires any
		if !l.Expiration.IsZero() {
			expires = l.Expiration.UTC()
		}
		for _, r := range l.Releases {
			run("INSERT INTO licenses (id, customer, repository, tags, expires, withdrawn) VALUES (?, ?, ?, ?, ?, ?)",
				l.ID, id, r.Repository, strings.Join(r.Tags, " "), expires, l.Inactive)
		}
	}
	if err != nil {
		return fmt.Errorf("storing the account %s: %w", a.Email, err)
	}
	return tx.Commit()
}

// numbered writes the driver's placeholders for question marks.
func (c *Customers) numbered(statement string) string {
	for n := 1; c.Driver == Postgres && strings.Contains(statement, "?"); n++ {
		statement = strings.Replace(statement, "?", fmt.Sprintf("$%d", n), 1)
	}
	return statement
}
