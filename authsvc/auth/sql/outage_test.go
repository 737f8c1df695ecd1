package sql_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/auth/sql"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/pki"
)

// TestSlowQuery: the server itself ends a query that takes too long, and nothing of it
// is left there.
func TestSlowQuery(t *testing.T) {
	each(t, func(w *world) {
		w.config.Timeout = 15 * time.Second // the server has a tenth of it to say so
		sleep, running := "pg_sleep(120)::text", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
		if w.Driver == stack.MariaDB {
			sleep, running = "SLEEP(120)", "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP%' AND id <> connection_id()"
		}
		w.config.Account = "SELECT " + sleep + " AS subject, 'x' AS hash WHERE :user = 'slow'"
		w.make()
		if decision, err := w.ask("quick", "x"); err != nil || decision.Refusal != auth.NotMine {
			w.Fatalf("%+v, %v", decision, err)
		}
		_, err := w.ask("slow", "x")
		w.wantError(err, false, "account: the server ended the query, which took too long")
		if w.outcomes[len(w.outcomes)-1] != "timeout" {
			w.Errorf("the outcomes are %q, want timeout at last", w.outcomes)
		}
		var left int
		if err := w.Admin.QueryRowContext(w.Context(), running).Scan(&left); err != nil || left != 0 {
			w.Errorf("%d queries run on, %v", left, err)
		}
	})
}

// TestRestart: a server that was killed is an outage, for which known customers are
// served; when it is back, so is the source, whatever became of its connections.
func TestRestart(t *testing.T) {
	each(t, func(w *world) {
		w.secret("ann@acme.example", "ann", token("the-token"), "", nil, "")
		w.exec("INSERT INTO rights VALUES ('ann', 'a', '*', NULL, 'lic', false)")
		w.make()
		var wait sync.WaitGroup
		for range 3 * w.config.MaxConnections { // so that there are several connections
			wait.Go(func() {
				decision, err := w.made.Licenses.Grants(w.Context(), auth.Account{Subject: "ann"})
				if err != nil || decision.Len() != 1 {
					w.Errorf("%v, %v", decision, err)
				}
			})
		}
		wait.Wait()
		cache := authtest.NewCache(w.made.Source, auth.CacheConfig{TTL: time.Millisecond, RefusalTTL: time.Millisecond, StaleTTL: time.Hour, MaxEntries: 10, MaxRefusals: 10})
		ann := auth.Caller{Credential: credential.Credential{User: "ann@acme.example", Secret: credential.NewSecret("the-token")}}
		if decision, err := cache.Authenticate(w.Context(), ann); err != nil || decision.Refusal != "" {
			w.Fatalf("%+v, %v", decision, err)
		}

		w.Kill()
		_, err := w.ask("ann@acme.example", "the-token")
		for deadline := time.Now().Add(time.Minute); err == nil && time.Now().Before(deadline); { // PostgreSQL's other processes go on for a moment
			time.Sleep(10 * time.Millisecond)
			_, err = w.ask("ann@acme.example", "the-token")
		}
		w.wantError(err, false, "connecting to the database: dial")
		time.Sleep(2 * time.Millisecond) // past the TTL
		if decision, err := cache.Authenticate(w.Context(), ann); err != nil || decision.Cache != auth.Stale || decision.Grants.Len() != 1 {
			w.Errorf("%+v, %v; want a stale acceptance", decision, err)
		}
		if err := w.Start(w.Context()); err != nil {
			w.Fatal(err)
		}
		if decision, err := w.ask("ann@acme.example", "the-token"); err != nil || decision.Subject != "ann" {
			w.Errorf("%+v, %v", decision, err)
		}

		// An orderly restart leaves connections that the server has closed.
		if err := w.Stop(); err != nil {
			w.Fatal(err)
		}
		if err := w.Start(w.Context()); err != nil {
			w.Fatal(err)
		}
		if decision, err := w.ask("ann@acme.example", "the-token"); err != nil || decision.Subject != "ann" {
			w.Errorf("%+v, %v", decision, err)
		}
	})
}

// TestRotation: the DSN is read for each connection, so a new password counts at once,
// and a wrong file is a fault that is mended without a restart.
func TestRotation(t *testing.T) {
	each(t, func(w *world) {
		w.secret("ann@acme.example", "ann", token("the-token"), "", nil, "")
		role := "rotated_" + w.Driver
		password, err := w.CreateRole(w.Context(), role)
		if err != nil {
			w.Fatal(err)
		}
		w.exec("GRANT SELECT ON secrets TO " + role)
		w.exec("GRANT SELECT ON rights TO " + role)
		w.config.MaxLifetime = time.Nanosecond // each look-up connects
		w.dsn(w.DSN(role, "wrong"))
		ask := func(want string) {
			w.Helper()
			decision, err := w.ask("ann@acme.example", "the-token")
			if want != "" {
				w.wantError(err, false, "connecting to the database: "+want)
			} else if err != nil || decision.Subject != "ann" {
				w.Errorf("%+v, %v", decision, err)
			}
		}
		ask("the server refuses the user or the password in dsn_file")
		w.dsn(w.DSN(role, password) + "\n")
		ask("")
		change := "ALTER ROLE " + role + " PASSWORD 'changed'"
		if w.Driver == stack.MariaDB {
			change = "ALTER USER " + role + " IDENTIFIED BY 'changed'"
		}
		w.exec(change)
		ask("the server refuses the user or the password in dsn_file")
		if w.fault != nil {
			w.Errorf("a fault of the file: %v", w.fault)
		}
		w.dsn(w.DSN(role, "changed"))
		ask("")
		for _, garbage := range []string{"", "the-token:the-token", "postgres://authsvc:the-token@[::1", "mysql://authsvc:the-token@host/db", "\x00\xff", strings.Repeat("the-token", 1000)} {
			w.dsn(garbage)
			ask("dsn_file: ")
			if w.fault == nil {
				w.Errorf("%.20q is no fault", garbage)
			}
			w.checkError(w.fault)
		}
		w.dsn(strings.Replace(w.DSN(role, "changed"), "/vendor", "/nothing", 1))
		_, err = w.ask("ann@acme.example", "the-token")
		if err == nil || w.fault != nil {
			w.Errorf("another database: %v, %v", err, w.fault)
		}
		if err := os.Remove(w.config.DSNFile); err != nil {
			w.Fatal(err)
		}
		ask("dsn_file: open ")
		w.dsn(w.DSN(role, "changed"))
		ask("")
		if w.fault != nil {
			w.Errorf("a fault that was mended: %v", w.fault)
		}
	})
}

// TestTLS: nothing is sent to a server that does not show a certificate of the CA, and
// nothing in clear to another machine.
func TestTLS(t *testing.T) {
	each(t, func(w *world) {
		other, err := pki.New(w.TempDir())
		if err != nil {
			w.Fatal(err)
		}
		ask := func(want string) {
			w.Helper()
			w.make()
			_, err := w.ask("ann@acme.example", "the-token")
			w.wantError(err, false, want)
		}
		own := w.config.CAFile
		w.config.CAFile = other.File
		ask("connecting to the database: tls: failed to verify certificate")
		w.config.CAFile = ""
		weaker := map[string][]string{
			stack.Postgres: {
				"postgres://authsvc:the-token@db.example/vendor?sslmode=disable", "postgres://authsvc:the-token@db.example/vendor?sslmode=allow",
				"postgres://authsvc:the-token@db.example/vendor?sslmode=prefer", "postgres://authsvc:the-token@db.example/vendor?sslmode=require",
				"postgres://authsvc:the-token@db.example/vendor?sslmode=verify-ca", "host=db.example user=authsvc password=the-token sslmode=require",
				"postgres://authsvc:the-token@127.0.0.1,db.example/vendor?sslmode=require", "postgres://authsvc:the-token@192.0.2.7/vendor?sslmode=disable",
			},
			stack.MariaDB: {
				"authsvc:the-token@tcp(db.example:3306)/vendor?tls=false", "authsvc:the-token@tcp(db.example)/vendor?tls=skip-verify",
				"authsvc:the-token@tcp(192.0.2.7:3306)/vendor?tls=preferred",
			},
		}
		for _, dsn := range weaker[w.Driver] {
			w.dsn(dsn)
			ask("expected a connection over verified TLS, found")
		}
		// Verified TLS is the default.
		for _, dsn := range map[string][]string{
			stack.Postgres: {"postgres://authsvc:the-token@db.invalid/vendor", "host=db.invalid user=authsvc password=the-token", "postgres://authsvc:the-token@db.invalid/vendor?sslmode=verify-full"},
			stack.MariaDB:  {"authsvc:the-token@tcp(db.invalid)/vendor", "authsvc:the-token@tcp(db.invalid)/vendor?tls=true"},
		}[w.Driver] {
			w.dsn(dsn)
			ask("connecting to the database: ")
			if w.fault != nil {
				w.Errorf("%s: %v", dsn, w.fault)
			}
		}
		// With a CA, this machine's own server is verified, too.
		w.config.CAFile = own
		w.dsn(w.DSN("authsvc", "the-token") + map[string]string{stack.Postgres: "?sslmode=disable", stack.MariaDB: "?tls=false"}[w.Driver])
		ask("expected a connection over verified TLS, found")
		w.config.CAFile = filepath.Join(w.TempDir(), "none")
		if _, err := w.config.New(w.Context(), auth.Environment{}); err == nil || !strings.HasPrefix(err.Error(), "ca_file: ") {
			w.Errorf("a CA that is missing: %v", err)
		}
	})
}

// TestReadOnly: a query cannot write, even with a role that may.
func TestReadOnly(t *testing.T) {
	each(t, func(w *world) {
		name := "write_" + w.Driver
		if w.Driver == stack.Postgres {
			w.exec("CREATE FUNCTION " + name + "(u text) RETURNS text LANGUAGE sql AS $$ INSERT INTO written VALUES (u) RETURNING what $$")
		} else {
			w.exec("CREATE FUNCTION " + name + "(u text) RETURNS text MODIFIES SQL DATA BEGIN INSERT INTO written VALUES (u); RETURN u; END")
			w.exec("GRANT EXECUTE ON FUNCTION " + name + " TO authsvc")
		}
		queries := []string{"SELECT " + name + "(:user) AS subject, 'x' AS hash"}
		if w.Driver == stack.Postgres {
			queries = append(queries, "WITH x AS (DELETE FROM written WHERE what = :user RETURNING what) SELECT what AS subject, 'x' AS hash FROM x")
		}
		for _, query := range queries {
			w.config.Account = query
			w.make()
			_, err := w.ask("anybody", "x")
			w.wantError(err, false, "account: the query writes, and may only read")
		}
		var rows int
		if err := w.Admin.QueryRowContext(w.Context(), "SELECT count(*) FROM written").Scan(&rows); err != nil || rows != 0 {
			w.Errorf("%d rows were written, %v", rows, err)
		}
	})
}

// TestCheck: an operator learns what is wrong before a customer does.
func TestCheck(t *testing.T) {
	each(t, func(w *world) {
		w.exec("DROP TABLE IF EXISTS numbered")
		w.exec("CREATE TABLE numbered (id bigint, hash text, secret text)")
		w.exec("GRANT SELECT ON numbered TO authsvc")
		w.exec("DROP TABLE IF EXISTS hidden")
		w.exec("CREATE TABLE hidden (email text)")
		const found = `SELECT repository, tags, expires, license FROM rights WHERE subject = `
		for _, test := range []struct{ account, grants, failed string }{
			{secretsQuery, rightsQuery, ""},
			{secretsQuery, "", ""},
			{"", found + ":user", ""},
			{`SELECT id AS subject, hash FROM numbered WHERE id = :user`, rightsQuery, ""},
			{`SELECT id AS subject, hash, secret FROM numbered WHERE id = :user`, rightsQuery, `account: expected the columns subject, hash and optionally user, name, ends, reason, found the column "secret"`},
			{`SELECT hsh AS subject FROM secrets WHERE email = :user`, rightsQuery, "account: "},
			{`SELECT hsh AS subject FROM secrets WHERE email = :user`, rightsQuery, "hsh"},
			{`SELECT subject, hash FROM sicrets WHERE email = :user`, rightsQuery, "sicrets"},
			{`SELECT FROM FROM WHERE :user`, rightsQuery, "syntax"},
			{`SELECT email AS subject, email AS hash FROM hidden WHERE email = :user`, rightsQuery, "account: "},
			{secretsQuery, found + ":user", "grants: expected :subject, or a column user in the query account"},
			{secretsQuery, `SELECT repository, tags FROM rights WHERE subject = :subject`, "grants: expected the column expires, found none"},
		} {
			w.config.Account, w.config.Grants = test.account, test.grants
			err := w.make().Check(w.Context())
			w.checkError(err)
			if test.failed != "" {
				w.wantError(err, false, test.failed)
			} else if err != nil {
				w.Errorf("%q, %q: %v", test.account, test.grants, err)
			}
		}
		if w.Driver == stack.MariaDB {
			w.config.Driver = "mysql"
			w.wantError(w.make().Check(w.Context()), false, "expected driver: mariadb")
		}
	})
}

// TestConfiguration: what can be known without a server fails at start, and names the
// setting.
func TestConfiguration(t *testing.T) {
	for _, test := range []struct {
		change func(*sql.Config)
		want   string
	}{
		{func(c *sql.Config) { c.Driver = "oracle" }, `driver: expected postgres, mariadb or mysql, found "oracle"`},
		{func(c *sql.Config) { c.Account, c.Grants = "", "" }, "account: expected a query here or in grants"},
		{func(c *sql.Config) { c.Account = "SELECT 1" }, "account: expected the parameter :user, found none"},
		{func(c *sql.Config) { c.Account = "SELECT :subject" }, "account: expected the parameters :user, found :subject"},
		{func(c *sql.Config) { c.Grants = "SELECT 1" }, "grants: expected the parameter :subject or :user, found none"},
		{func(c *sql.Config) { c.Grants = "UPDATE t SET a = :subject" }, "grants: expected a statement that reads"},
	} {
		c := sql.Config{Driver: "postgres", DSNFile: "/nonexistent", Account: secretsQuery, Grants: rightsQuery, Timeout: time.Second, MaxConnections: 1}
		test.change(&c)
		if _, err := c.New(t.Context(), auth.Environment{}); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%v; want %q", err, test.want)
		}
	}
}

// TestConcurrent: look-ups wait for a connection, and none is lost.
func TestConcurrent(t *testing.T) {
	each(t, func(w *world) {
		for i := range 20 {
			w.secret(fmt.Sprint("user", i), fmt.Sprint("subject", i), token(fmt.Sprint("token", i)), "", nil, "")
		}
		w.config.Timeout = time.Minute
		var mu sync.Mutex
		var subjects []string
		source := w.make().Source
		var wait sync.WaitGroup
		for i := range 200 {
			wait.Go(func() {
				decision, err := source.Authenticate(w.Context(), credential.Credential{User: fmt.Sprint("user", i%20), Secret: credential.NewSecret(fmt.Sprint("token", i%20))})
				if err != nil || decision.Subject != fmt.Sprint("subject", i%20) {
					w.Errorf("%+v, %v", decision, err)
				}
				mu.Lock()
				defer mu.Unlock()
				subjects = append(subjects, decision.Subject)
			})
		}
		wait.Wait()
		slices.Sort(subjects)
		if n := len(slices.Compact(subjects)); n != 20 {
			w.Errorf("%d subjects, want 20", n)
		}
	})
}

// TestNamesBeyondTheCharacterSet: a column in Latin-1 cannot be compared with a name in
// other letters, and MariaDB says so by an error. It is about that name; as an outage, a
// few such names would stop all first logins.
func TestNamesBeyondTheCharacterSet(t *testing.T) {
	w := newWorld(t, stack.MariaDB)
	w.exec("CREATE TABLE latin (email varchar(255) CHARACTER SET latin1, subject varchar(255), hash text)")
	w.exec("GRANT SELECT ON latin TO authsvc")
	w.exec("INSERT INTO latin VALUES ('jürgen@acme.example', 'juergen', ?)", token("the-token"))
	w.config.Account = "SELECT subject, hash FROM latin WHERE email = :user"
	if decision, err := w.ask("jürgen@acme.example", "the-token"); err != nil || decision.Subject != "juergen" {
		t.Errorf("%+v, %v", decision, err)
	}
	_, err := w.ask("中@acme.example", "the-token")
	w.wantError(err, true, "account: Illegal mix of collations")
}

// TestOneSecretInManyRows: a suspended account whose tokens all have the same secret is
// refused, and no outage, in which the customer would go on.
func TestOneSecretInManyRows(t *testing.T) {
	each(t, func(w *world) {
		for i := range 6 {
			w.secret("ann@acme.example", "ann", slow(t, "the-token"), fmt.Sprint("token", i), nil, "account suspended")
		}
		decision, err := w.ask("ann@acme.example", "the-token")
		if err != nil || decision.Refusal != auth.WrongCredential || decision.Reason != "account suspended" {
			t.Errorf("%+v, %v", decision, err)
		}
	})
}
