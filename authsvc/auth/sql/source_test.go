package sql_test

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/sql"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// TestServersAgree: a server finds as many parameters in a statement as this package
// does.
func TestServersAgree(t *testing.T) {
	each(t, func(w *world) {
		conn, err := w.Admin.Conn(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // a test's
		for _, s := range sql.Statements() {
			if s.Driver != w.Driver {
				continue
			}
			err := conn.Raw(func(c any) error {
				stmt, err := c.(driver.Conn).Prepare(s.Text)
				if err == nil {
					defer stmt.Close() //nolint:errcheck // a test's
					if stmt.NumInput() != s.Parameters {
						err = fmt.Errorf("the server finds %d parameters, want %d", stmt.NumInput(), s.Parameters)
					}
				}
				return err
			})
			if err != nil {
				w.Errorf("%q: %v", s.Text, err)
			}
		}
	})
}

// TestSecrets: a customer has any number of secrets, of any scheme.
func TestSecrets(t *testing.T) {
	each(t, func(w *world) {
		past, future := time.Now().Add(-time.Hour).UTC(), time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		ann := func(hash, name string, ends *time.Time, reason string) {
			w.secret("ann@acme.example", "ann", hash, name, ends, reason)
		}
		ann(token("ci-token"), "ci", nil, "")
		ann(token("laptop-token"), "laptop", &future, "")
		ann(token("old-token"), "old", &past, "")
		ann(token("unnamed-old-token"), "", &past, "")
		ann(token("bad-token"), "bad", nil, "account suspended: pay first")
		ann(slow(t, "password"), "web", nil, "")
		ann(slow(t, "other-password"), "app", nil, "account suspended")
		ann("plain-text", "", nil, "")
		w.secret("twice@acme.example", "first", token("the-token"), "", nil, "gone")
		w.secret("twice@acme.example", "second", token("the-token"), "", nil, "")
		w.secret("broken@acme.example", "broken", "plain-text", "", nil, "")
		w.exec("INSERT INTO rights VALUES ('ann', 'vendor/appliance', '1.*, latest', NULL, 'lic', false)")

		tests := []struct {
			user, secret   string
			subject        string
			refusal        auth.Refusal
			reason, failed string
		}{
			{user: "ann@acme.example", secret: "ci-token", subject: "ann"},
			{user: "ann@acme.example", secret: "laptop-token", subject: "ann"},
			{user: "ann@acme.example", secret: "password", subject: "ann"},
			{user: "ann@acme.example", secret: "old-token", refusal: auth.WrongCredential, reason: `the token "old" has expired`},
			{user: "ann@acme.example", secret: "unnamed-old-token", refusal: auth.WrongCredential, reason: "the credential has expired"},
			{user: "ann@acme.example", secret: "bad-token", refusal: auth.WrongCredential, reason: "account suspended: pay first"},
			{user: "ann@acme.example", secret: "other-password", refusal: auth.WrongCredential, reason: "account suspended"},
			{user: "ann@acme.example", secret: "wrong", failed: "account: row 8: hash: expected a hash of bcrypt"},
			{user: "twice@acme.example", secret: "the-token", subject: "second"},
			{user: "twice@acme.example", secret: "wrong", refusal: auth.WrongCredential},
			{user: "broken@acme.example", secret: "the-token", failed: "account: row 1: hash: expected a hash of bcrypt"},
			{user: "eve@else.example", secret: "the-token", refusal: auth.NotMine},
		}
		for _, test := range tests {
			decision, err := w.ask(test.user, test.secret)
			if test.failed != "" {
				w.wantError(err, true, test.failed)
				continue
			}
			if err != nil || decision.Subject != test.subject || decision.Refusal != test.refusal || decision.Reason != test.reason {
				w.Errorf("%s with %s: %+v, %v; want %q, %q, %q", test.user, test.secret, decision, err, test.subject, test.refusal, test.reason)
			}
			if want := "vendor/appliance:1.* never lic, vendor/appliance:latest never lic"; decision.Subject == "ann" && describe(decision.Grants) != want {
				w.Errorf("%s with %s may pull %q, want %q", test.user, test.secret, describe(decision.Grants), want)
			}
			if decision.User != "" {
				w.Errorf("%s is confirmed by a query that does not select user", decision.User)
			}
			if test.secret == "laptop-token" && !decision.Ends.Equal(future) {
				w.Errorf("it ends %v, want %v", decision.Ends, future)
			}
		}
		for _, word := range []string{"ok", "refused"} {
			if !slices.Contains(w.outcomes, word) {
				w.Errorf("the outcomes are %q, want %s among them", w.outcomes, word)
			}
		}
	})
}

// TestManyHashes: one account cannot take all processors.
func TestManyHashes(t *testing.T) {
	each(t, func(w *world) {
		for i := range 11 {
			w.secret("ann@acme.example", "ann", slow(t, fmt.Sprint("password-", i)), "", nil, "")
		}
		_, err := w.ask("ann@acme.example", "password-1")
		w.wantError(err, true, "account: expected at most 10 rows with hashes other than sha256:, found 11")
	})
}

// TestVendor: the queries and tables of the example. The account's own name is
// confirmed, so that a name that only compares equal is not.
func TestVendor(t *testing.T) {
	each(t, func(w *world) {
		source := w.Source("vendor")
		w.config.Account, w.config.Grants = fmt.Sprint(source["account"]), fmt.Sprint(source["grants"])
		expires := time.Date(2040, 1, 31, 12, 0, 0, 0, time.UTC)
		if err := w.SetAccount(w.Context(), "the-token", vendorapi.Account{Email: "ann@acme.example", Licenses: []vendorapi.License{
			{ID: "a", Expiration: expires, Releases: []vendorapi.Release{{Repository: "vendor/appliance", Tags: []string{"1.*", "latest"}}}},
			{ID: "b", Inactive: true, Releases: []vendorapi.Release{{Repository: "vendor/tools", Tags: []string{"*"}}}},
		}}); err != nil {
			w.Fatal(err)
		}
		decision, err := w.ask("ann@acme.example", "the-token")
		want := "vendor/appliance:1.* 2040-01-31T12:00:00Z a, vendor/appliance:latest 2040-01-31T12:00:00Z a, vendor/tools:* withdrawn b"
		if err != nil || decision.User != "ann@acme.example" || !strings.HasPrefix(decision.Subject, "cus_") || describe(decision.Grants) != want {
			w.Errorf("%+v, %q, %v; want %q", decision, describe(decision.Grants), err, want)
		}
		if err := w.made.Check(w.Context()); err != nil {
			w.Error(err)
		}
		decision, err = w.ask("ÄNN@acme.example", "the-token") // equal to MariaDB
		if err != nil || decision.Refusal == "" && decision.User != "ann@acme.example" {
			w.Errorf("%+v, %v", decision, err)
		}
	})
}

// TestLicenses: a source may have the grants of another one's customers, by what that
// one confirms.
func TestLicenses(t *testing.T) {
	each(t, func(w *world) {
		w.exec("INSERT INTO rights VALUES ('ann', 'a', '*', NULL, 'lic', false)")
		w.config.Account = ""
		for _, test := range []struct {
			query   string
			account auth.Account
			want    string
			failed  string
		}{
			{rightsQuery, auth.Account{Subject: "ann"}, "a:* never lic", ""},
			{rightsQuery, auth.Account{Subject: "eve", User: "ann"}, "", ""},
			{rightsQuery, auth.Account{User: "ann"}, "", "grants: the query needs :subject, and the account has none"},
			{rightsQuery, auth.Account{Subject: "a\x00"}, "", "printable UTF-8 for :subject"},
			{strings.ReplaceAll(rightsQuery, ":subject", ":user"), auth.Account{User: "ann"}, "a:* never lic", ""},
			{strings.ReplaceAll(rightsQuery, ":subject", ":user"), auth.Account{Subject: "ann"}, "", "grants: the query needs :user"},
		} {
			w.config.Grants = test.query
			made := w.make()
			if made.Source != nil || made.Licensed {
				w.Fatalf("%+v; want no source", made)
			}
			grants, err := made.Licenses.Grants(w.Context(), test.account)
			w.checkError(err)
			if test.failed != "" {
				w.wantError(err, true, test.failed)
			} else if err != nil || describe(grants) != test.want {
				w.Errorf("%+v: %q, %v; want %q", test.account, describe(grants), err, test.want)
			}
		}
	})
}

// TestHostileUsers: what a customer types is a value, and most of it does not even reach
// the server.
func TestHostileUsers(t *testing.T) {
	each(t, func(w *world) {
		w.secret("ann@acme.example", "ann", token("the-token"), "", nil, "")
		for _, user := range []string{
			`' OR '1'='1`, `" OR ""="`, `'; DROP TABLE secrets; --`, `\' OR 1=1 -- `, `ann@acme.example' -- `, `:user`, `$1`, `?`, `%`, `_`, `*`, `$$ OR $$`,
			`0`, `1 OR 1`, `ann@acme.example'||'`, "日本語", "😀", strings.Repeat("x", 320),
		} {
			if decision, err := w.ask(user, "the-token"); err != nil || decision.Refusal != auth.NotMine {
				w.Errorf("%q: %+v, %v; want %s", user, decision, err, auth.NotMine)
			}
		}
		asked := len(w.outcomes)
		for _, user := range []string{"", "ann\x00", "ann\xff@acme.example", "ann\n", strings.Repeat("x", 321), strings.Repeat("x", 1<<20)} {
			if decision, err := w.ask(user, "the-token"); err != nil || decision.Refusal != auth.NotMine {
				w.Errorf("%.20q: %+v, %v; want %s", user, decision, err, auth.NotMine)
			}
		}
		if len(w.outcomes) != asked {
			w.Errorf("the server was asked %d times about users that nobody can be", len(w.outcomes)-asked)
		}
		for _, secret := range []string{"the-token\x00", "the-token'--", strings.Repeat("x", 1<<20), ""} {
			if decision, err := w.ask("ann@acme.example", secret); err != nil || decision.Refusal != auth.WrongCredential {
				w.Errorf("%.20q: %+v, %v; want %s", secret, decision, err, auth.WrongCredential)
			}
		}
		if decision, err := w.ask("ann@acme.example", "the-token"); err != nil || decision.Subject != "ann" {
			w.Errorf("%+v, %v; want that nothing has changed", decision, err)
		}
	})
}

// TestAnswers: whatever the queries give, it is understood or an error names the query
// and the column.
func TestAnswers(t *testing.T) {
	good := "sha256:" + strings.Repeat("0", 64)
	hash := "'" + good + "' AS hash"
	const grant = `'a' AS repository, '*' AS tags, NULL AS expires, 'lic' AS license`
	tests := []struct {
		driver     string // empty for both
		account    string // SELECT … with :user at its end
		grants     string
		want       string
		unreadable bool
		failed     string
	}{
		{account: `'ann' AS SUBJECT, ` + hash, want: ""},
		{account: `1 AS subject, ` + hash, want: ""},
		{account: hash, failed: "account: expected the column subject, found none; write AS subject"},
		{account: `'ann' AS subject`, failed: "account: expected the column hash"},
		{account: `'ann' AS subject, ` + hash + `, NULL AS "end"`, driver: stack.Postgres, failed: `account: expected the columns subject, hash and optionally user, name, ends, reason, found the column "end"`},
		{account: `'ann' AS subject, 'eve' AS subject, ` + hash, failed: "account: expected each column once, found two with the name subject"},
		{account: `NULL AS subject, ` + hash, unreadable: true, failed: "account: row 1: subject: expected 1 to 255 bytes, found NULL"},
		{account: `'' AS subject, ` + hash, unreadable: true, failed: "account: row 1: subject: expected 1 to 255 bytes, found empty text"},
		{account: `repeat('x', 256) AS subject, ` + hash, unreadable: true, failed: "account: row 1: subject: expected at most 255 bytes, found 256"},
		{account: `'ann' AS subject, NULL AS hash`, unreadable: true, failed: "account: row 1: hash: expected text, found NULL"},
		{account: `'ann' AS subject, 7 AS hash`, unreadable: true, failed: "account: row 1: hash: expected text, found a number"},
		{account: `'ann' AS subject, repeat('row-data', 1025) AS hash`, unreadable: true, failed: "account: row 1: hash: expected at most 8192 bytes, found 8200"},
		{account: `'ann' AS subject, repeat('row-data', 2500000) AS hash`, driver: stack.Postgres, unreadable: true, failed: "longer than 16 MiB"},
		{account: `'ann' AS subject, ` + hash + `, 7 AS reason`, unreadable: true, failed: "account: row 1: reason: expected text, found a number"},
		{account: `'ann' AS subject, ` + hash + `, 'row-data' AS ends`, unreadable: true, failed: "account: row 1: ends: expected an RFC 3339 time or a day"},
		{account: `'ann' AS subject, ` + hash + `, true AS name`, driver: stack.Postgres, unreadable: true, failed: "account: row 1: name: expected text or a whole number, found true or false"},
		{account: `ARRAY['ann'] AS subject, ` + hash, driver: stack.Postgres, unreadable: true, failed: "account: row 1: subject: expected one value, found an array; write array_to_string"},
		{account: `'\xff'::bytea AS subject, ` + hash, driver: stack.Postgres, unreadable: true, failed: "account: row 1: subject: expected text in UTF-8"},
		{account: `x'ff' AS subject, ` + hash, driver: stack.MariaDB, unreadable: true, failed: "account: row 1: subject: expected text in UTF-8"},
		{account: `'ann' AS subject, ` + hash + `, 'infinity'::timestamptz AS ends`, driver: stack.Postgres},
		{account: `'ann' AS subject, ` + hash + `, '-infinity'::timestamptz AS ends`, driver: stack.Postgres, unreadable: true, failed: "account: row 1: ends:"},
		{account: `'ann' AS subject, ` + hash + `, CAST('0000-00-00' AS DATE) AS ends`, driver: stack.MariaDB, unreadable: true, failed: "ends: expected a time, or NULL, found zero"},
		{account: `1/0 AS subject, ` + hash, driver: stack.Postgres, unreadable: true, failed: "account: a value does not fit the query (SQLSTATE 22012)"},
		{account: `hsh AS subject, ` + hash, failed: "hsh"},

		{grants: grant, want: "a:* never lic"},
		{grants: grant + `, false AS withdrawn`, want: "a:* never lic"},
		{grants: grant + `, true AS withdrawn`, want: "a:* withdrawn lic"},
		{grants: grant + `, NULL AS withdrawn`, unreadable: true, failed: "grants: row 1: withdrawn: expected true or false, found null"},
		{grants: grant + `, 2 AS withdrawn`, unreadable: true, failed: "grants: row 1: withdrawn: expected true or false, found number"},
		{grants: grant + `, 'x' AS edition`, failed: `grants: expected the columns repository, tags, expires, license and optionally withdrawn, found the column "edition"`},
		{grants: `'a' AS repository, '*' AS tags, 'lic' AS license`, failed: "grants: expected the column expires"},
		{grants: `NULL AS repository, '*' AS tags, NULL AS expires, 1 AS license`, unreadable: true, failed: "grants: row 1: repository: expected a pattern, found null"},
		{grants: `'a' AS repository, NULL AS tags, NULL AS expires, 1 AS license`, unreadable: true, failed: "grants: row 1: tags: expected a pattern, found null"},
		{grants: `'a' AS repository, '["1.*"]' AS tags, NULL AS expires, 1 AS license`, unreadable: true, failed: "grants: row 1: tags: expected patterns separated by spaces, found JSON"},
		{grants: `'a' AS repository, ARRAY['1.*'] AS tags, NULL AS expires, 1 AS license`, driver: stack.Postgres, unreadable: true, failed: "grants: row 1: tags: expected one value, found an array"},
		{grants: `'a' AS repository, ' 1.*, latest' AS tags, NULL AS expires, 1 AS license`, want: "a:1.* never 1, a:latest never 1"},
		{grants: `'a' AS repository, '' AS tags, NULL AS expires, 1 AS license`, want: ""},
		{grants: `'a' AS repository, '*' AS tags, DATE '2040-01-31' AS expires, 1 AS license`, want: "a:* 2040-02-01T00:00:00Z 1"},
		{grants: `'a' AS repository, '*' AS tags, TIMESTAMP '2040-01-31 12:00:00' AS expires, 1 AS license`, want: "a:* 2040-01-31T12:00:00Z 1"},
		{grants: `'a' AS repository, '*' AS tags, TIMESTAMPTZ '2040-01-31 12:00:00+02' AS expires, 1 AS license`, driver: stack.Postgres, want: "a:* 2040-01-31T10:00:00Z 1"},
		{grants: `'a' AS repository, '*' AS tags, DATE 'infinity' AS expires, 1 AS license`, driver: stack.Postgres, want: "a:* never 1"},
		{grants: `'a' AS repository, '*' AS tags, '2040-01-31' AS expires, 1 AS license`, want: "a:* 2040-02-01T00:00:00Z 1"},
		{grants: `'a' AS repository, '*' AS tags, 2211364800 AS expires, 1 AS license`, want: "a:* 2040-01-28T12:00:00Z 1"},
		{grants: `'a' AS repository, '*' AS tags, 2211364800000 AS expires, 1 AS license`, unreadable: true, failed: "is it milliseconds?"},
		{grants: `'a' AS repository, '*' AS tags, NULL AS expires, NULL AS license`, unreadable: true, failed: "grants: row 1: license: expected text or a number, found null"},
	}
	each(t, func(w *world) {
		for _, test := range tests {
			if test.driver != "" && test.driver != w.Driver {
				continue
			}
			account, grants := `'ann' AS subject, `+"'"+token("the-token")+"' AS hash", grant
			if test.account != "" {
				account = strings.ReplaceAll(test.account, good, token("the-token"))
			} else {
				grants = test.grants
			}
			w.config.Account = "SELECT " + account + " WHERE :user <> ''"
			w.config.Grants = "SELECT " + grants + " WHERE :subject <> ''"
			w.make()
			decision, err := w.ask("ann@acme.example", "the-token")
			switch {
			case test.failed != "":
				w.wantError(err, test.unreadable, test.failed)
			case err != nil || decision.Refusal != "":
				w.Errorf("%s%s: %+v, %v", test.account, test.grants, decision, err)
			case test.grants != "" && describe(decision.Grants) != test.want:
				w.Errorf("%s: %q; want %q", test.grants, describe(decision.Grants), test.want)
			}
		}
	})
}

// TestManyRows: neither query may answer without end.
func TestManyRows(t *testing.T) {
	const some = "(SELECT n FROM numbers LIMIT %d) x"
	each(t, func(w *world) {
		for _, test := range []struct {
			rows, grants int
			failed       string
		}{
			{100, 10_000, ""},
			{101, 1, "account: expected at most 100 rows, found more"},
			{1000, 1, "account: expected at most 100 rows, found more"},
			{1, 10_001, "grants: expected at most 10000 rows, found more"},
			{1, 20_000, "grants: expected at most 10000 rows, found more"},
		} {
			w.config.Account = "SELECT 'ann' AS subject, '" + token("the-token") + "' AS hash FROM " + fmt.Sprintf(some, test.rows) + " WHERE :user <> ''"
			w.config.Grants = "SELECT 'a' AS repository, '*' AS tags, NULL AS expires, n AS license FROM " + fmt.Sprintf(some, test.grants) + " WHERE :subject <> ''"
			w.make()
			decision, err := w.ask("ann@acme.example", "the-token")
			if test.failed != "" {
				w.wantError(err, true, test.failed)
			} else if err != nil || decision.Grants.Len() != test.grants {
				w.Errorf("%d grants, %v; want %d", decision.Grants.Len(), err, test.grants)
			}
		}
		w.config.Account = secretsQuery
		w.make()
		w.secret("ann@acme.example", "ann", token("the-token"), "", nil, "")
		if _, err := w.made.Source.Authenticate(w.Context(), credential.Credential{User: "eve@else.example", Secret: credential.NewSecret("x")}); err != nil {
			w.Errorf("after long answers: %v", err)
		}
	})
}
