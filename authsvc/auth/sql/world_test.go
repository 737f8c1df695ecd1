package sql_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/sql"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/nginx/stack"
)

var drivers = []string{stack.Postgres, stack.MariaDB}

// The servers start when a test needs one, and serve all tests.
var servers = map[string]func() (*stack.Customers, error){}

func TestMain(m *testing.M) {
	var started []*stack.Customers
	var mu sync.Mutex
	for _, driver := range drivers {
		servers[driver] = sync.OnceValues(func() (*stack.Customers, error) {
			s, err := stack.StartCustomers(context.Background(), driver)
			if err == nil {
				_, err = s.Admin.ExecContext(context.Background(), strings.NewReplacer("TIME", times[driver], "NUMBERS", numbers[driver]).Replace(tables))
				mu.Lock()
				defer mu.Unlock()
				started = append(started, s)
			}
			return s, err
		})
	}
	code := m.Run()
	for _, s := range started {
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// tables are without the constraints that a vendor's would have.
const tables = `
CREATE TABLE secrets (email varchar(255), subject varchar(255), hash text, name varchar(255), ends TIME NULL, reason text);
CREATE TABLE rights (subject varchar(255), repository text, tags text, expires TIME NULL, license varchar(255), withdrawn boolean);
CREATE TABLE numbers AS SELECT NUMBERS;
CREATE TABLE written (what varchar(255));
GRANT SELECT ON secrets TO authsvc;
GRANT SELECT ON numbers TO authsvc;
GRANT SELECT ON rights TO authsvc;
GRANT SELECT ON written TO authsvc;
GRANT INSERT ON written TO authsvc;
GRANT DELETE ON written TO authsvc;
`

var (
	times   = map[string]string{stack.Postgres: "timestamp", stack.MariaDB: "datetime"} // MariaDB's timestamps end in 2038
	numbers = map[string]string{stack.Postgres: "generate_series(1, 20000) AS n", stack.MariaDB: "seq AS n FROM seq_1_to_20000"}
)

const (
	secretsQuery = `SELECT subject, hash, name, ends, reason FROM secrets WHERE email = :user`
	rightsQuery  = `SELECT repository, tags, expires, license, withdrawn FROM rights WHERE subject = :subject`
)

// A world is a source in front of a server.
type world struct {
	*testing.T
	*stack.Customers
	config   sql.Config
	made     auth.Made
	mu       sync.Mutex
	outcomes []string
	fault    error
}

// each calls test for each driver.
func each(t *testing.T, test func(*world)) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) { test(newWorld(t, driver)) })
	}
}

func newWorld(t *testing.T, driver string) *world {
	t.Helper()
	server, err := servers[driver]()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Customers: server}
	w.config = sql.Config{
		Driver: driver, DSNFile: fmt.Sprint(server.Source("x")["dsn_file"]), CAFile: server.CAFile(),
		Account: secretsQuery, Grants: rightsQuery, Timeout: 20 * time.Second,
		MaxConnections: 4, MaxIdleTime: time.Minute, MaxLifetime: time.Hour,
	}
	w.exec("DELETE FROM secrets")
	w.exec("DELETE FROM rights")
	return w
}

// exec runs a statement as the administrator, who has question marks with both
// servers.
func (w *world) exec(statement string, values ...any) {
	w.Helper()
	for n := 1; w.Driver == stack.Postgres && strings.Contains(statement, "?"); n++ {
		statement = strings.Replace(statement, "?", fmt.Sprintf("$%d", n), 1)
	}
	if _, err := w.Admin.ExecContext(w.Context(), statement, values...); err != nil {
		w.Fatalf("%s: %v", statement, err)
	}
}

// secret stores a row for an e-mail. Empty texts are NULL.
func (w *world) secret(email, subject, hash, name string, ends *time.Time, reason string) {
	w.Helper()
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	w.exec("INSERT INTO secrets VALUES (?, ?, ?, ?, ?, ?)", email, null(subject), null(hash), null(name), ends, null(reason))
}

// make makes the source by its configuration.
func (w *world) make() auth.Made {
	w.Helper()
	made, err := w.config.New(w.Context(), auth.Environment{
		Logger: slog.New(slog.DiscardHandler),
		Observe: func(_ context.Context, outcome string, _ time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.outcomes = append(w.outcomes, outcome)
		},
		Fault: func(_ string, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.fault = err
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.made = made
	return made
}

// ask asks the source, which make makes if there is none, and checks that an error
// tells nothing.
func (w *world) ask(user, secret string) (auth.Decision, error) {
	w.Helper()
	if w.made.Source == nil {
		w.make()
	}
	decision, err := w.made.Source.Authenticate(w.Context(), credential.Credential{User: user, Secret: credential.NewSecret(secret)})
	w.checkError(err)
	return decision, err
}

// checkError: an error tells no secret, no row and no DSN.
func (w *world) checkError(err error) {
	w.Helper()
	if err == nil {
		return
	}
	dsn, fileErr := os.ReadFile(w.config.DSNFile)
	if fileErr != nil {
		dsn = nil
	}
	hidden := []string{"row-data", "$2a$", "the-token", "ann@acme.example", strings.TrimSpace(string(dsn))}
	if _, after, ok := strings.Cut(string(dsn), "authsvc:"); ok {
		password, _, _ := strings.Cut(after, "@")
		hidden = append(hidden, password)
	}
	for _, text := range hidden {
		if text != "" && strings.Contains(err.Error(), text) {
			w.Errorf("the error tells %q: %v", text, err)
		}
	}
}

// wantError checks an error's text, and whether it is of one account alone.
func (w *world) wantError(err error, unreadable bool, texts ...string) {
	w.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) || errors.Is(err, auth.ErrUnreadable) != unreadable {
			w.Errorf("got %v; want an error with %q, of one account: %v", err, text, unreadable)
		}
	}
}

// dsn makes the source read its DSN from a file of the test.
func (w *world) dsn(text string) {
	w.Helper()
	if strings.HasPrefix(w.config.DSNFile, w.Dir) {
		w.config.DSNFile = filepath.Join(w.TempDir(), "dsn")
	}
	if err := os.WriteFile(w.config.DSNFile, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

func token(secret string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(secret))) }

func slow(t testing.TB, secret string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func describe(grants auth.Grants) string {
	var all []string
	for g := range grants.All() {
		end := "never"
		if !g.Expires.IsZero() {
			end = g.Expires.UTC().Format(time.RFC3339)
		}
		if g.Withdrawn {
			end = "withdrawn"
		}
		all = append(all, fmt.Sprintf("%s:%s %s %s", g.Repository, g.Tag, end, g.License))
	}
	return strings.Join(all, ", ")
}
