package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/pullgate/pullgate/authsvc/auth"
	sqlsource "github.com/pullgate/pullgate/authsvc/auth/sql"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/nginx/stack"
)

const (
	sqlRounds    = 7
	sqlRoundTime = 2 * time.Second
	// sqlWorkers look up at a time, each on a connection of its own.
	sqlWorkers = 8
	// strangersWithHashes is more than can log in while it is measured.
	strangersWithHashes = 20_000
	// hashers log in all the time, each as somebody who never has before.
	hashers = 4
)

// measureSources measures what a source costs, beyond what its database does.
func measureSources(ctx context.Context, stdout io.Writer) (measured figures, err error) {
	fmt.Fprintf(stdout, "sources: look-ups in PostgreSQL, %d rounds of %v, and customers while others' passwords are hashed\n", sqlRounds, sqlRoundTime)
	vendor, err := stack.StartCustomers(ctx, stack.Postgres)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, vendor.Close()) }()
	if err := fillVendor(ctx, vendor); err != nil {
		return nil, err
	}
	sqlRatio, err := measureLookUps(ctx, vendor, stdout)
	if err != nil {
		return nil, err
	}
	p99Ratio, err := measureHashing(ctx, vendor, stdout)
	if err != nil {
		return nil, err
	}
	return figures{"source_sql_ratio": sqlRatio, "source_hash_p99_ratio": p99Ratio}, nil
}

// fillVendor creates the customers of a crowd, with tokens, and strangers with one
// password, which is hashed as passwords are.
func fillVendor(ctx context.Context, vendor *stack.Customers) error {
	hash, err := bcrypt.GenerateFromPassword([]byte("password"), bcrypt.DefaultCost)
	if err != nil {
		return err
	}
	for _, insert := range []struct {
		statement string
		values    []any
	}{
		{"INSERT INTO customers (id, email) SELECT 'ann' || n, 'ann' || n || '@acme.example' FROM generate_series(0, $1 - 1) n", []any{customers}},
		{"INSERT INTO customers (id, email) SELECT 'eve' || n, 'eve' || n || '@else.example' FROM generate_series(0, $1 - 1) n", []any{strangersWithHashes}},
		{"INSERT INTO tokens (customer, name, hash) SELECT 'ann' || n, 'ci', 'sha256:' || encode(sha256(('known-' || n)::bytea), 'hex') FROM generate_series(0, $1 - 1) n", []any{customers}},
		{"INSERT INTO tokens (customer, name, hash) SELECT id, 'old', 'sha256:' || encode(sha256(id::bytea), 'hex') FROM customers WHERE id LIKE 'ann%'", nil},
		{"INSERT INTO tokens (customer, name, hash) SELECT id, 'web', $1 FROM customers WHERE id LIKE 'eve%'", []any{string(hash)}},
		{"INSERT INTO licenses (id, customer, repository, tags) SELECT 'lic_' || n, id, 'acme/*', '*' FROM customers, generate_series(1, 3) n", nil},
		{"ANALYZE", nil},
	} {
		if _, err := vendor.Admin.ExecContext(ctx, insert.statement, insert.values...); err != nil {
			return err
		}
	}
	return nil
}

// measureLookUps compares look-ups by the source with the same statements by the
// driver and its pool alone.
func measureLookUps(ctx context.Context, vendor *stack.Customers, stdout io.Writer) (float64, error) {
	entry := vendor.Source("vendor")
	config := sqlsource.Config{
		Driver: vendor.Driver, DSNFile: entry["dsn_file"].(string), CAFile: vendor.CAFile(),
		Account: entry["account"].(string), Grants: entry["grants"].(string),
		Timeout: 10 * time.Second, MaxConnections: sqlWorkers, MaxIdleTime: time.Minute, MaxLifetime: time.Hour,
	}
	made, err := config.New(ctx, auth.Environment{
		Logger: slog.New(slog.DiscardHandler), Observe: func(context.Context, string, time.Duration) {}, Fault: func(string, error) {},
	})
	if err != nil {
		return 0, err
	}
	dsn, err := os.ReadFile(config.DSNFile)
	if err != nil {
		return 0, err
	}
	pool, err := sql.Open("pgx", strings.TrimSpace(string(dsn))+"?sslmode=verify-full&sslrootcert="+vendor.CAFile())
	if err != nil {
		return 0, err
	}
	defer pool.Close() //nolint:errcheck // a benchmark's
	pool.SetMaxOpenConns(sqlWorkers)
	pool.SetMaxIdleConns(sqlWorkers)
	account, grants := strings.ReplaceAll(config.Account, ":user", "$1"), strings.ReplaceAll(config.Grants, ":subject", "$1")

	bySource := func(n int) error {
		presented := credential.Credential{User: fmt.Sprintf("ann%d@acme.example", n), Secret: credential.NewSecret(fmt.Sprint("known-", n))}
		decision, err := made.Source.Authenticate(ctx, presented)
		if err == nil && decision.Grants.Len() != 3 {
			err = fmt.Errorf("expected 3 grants, found %d and the refusal %q", decision.Grants.Len(), decision.Refusal)
		}
		return err
	}
	alone := func(n int) error {
		return inTransaction(ctx, pool, func(tx *sql.Tx) error {
			rows, err := readAll(ctx, tx, account, fmt.Sprintf("ann%d@acme.example", n))
			if err != nil {
				return err
			}
			if len(rows) != 2 {
				return fmt.Errorf("expected 2 tokens, found %d", len(rows))
			}
			_, err = readAll(ctx, tx, grants, fmt.Sprint("ann", n))
			return err
		})
	}
	var source, driver []float64
	for range sqlRounds {
		for _, side := range []struct {
			lookUp func(int) error
			rates  *[]float64
		}{{alone, &driver}, {bySource, &source}} {
			rate, err := lookUpsPerSecond(side.lookUp)
			if err != nil {
				return 0, err
			}
			*side.rates = append(*side.rates, rate)
		}
	}
	fmt.Fprintf(stdout, "%.0f look-ups/s, by the driver alone %.0f\n", median(source), median(driver))
	return ratio(source, driver), nil
}

func inTransaction(ctx context.Context, pool *sql.DB, do func(*sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// readAll reads an answer as plainly as it can be read.
func readAll(ctx context.Context, tx *sql.Tx, query, value string) (all [][]any, err error) {
	rows, err := tx.QueryContext(ctx, query, value)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err has it
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		cells, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range cells {
			pointers[i] = &cells[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return nil, err
		}
		all = append(all, cells)
	}
	return all, rows.Err()
}

// lookUpsPerSecond looks up customers at random, for one round.
func lookUpsPerSecond(lookUp func(n int) error) (float64, error) {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	start := time.Now()
	for range sqlWorkers {
		group.Go(func() {
			for time.Since(start) < sqlRoundTime && failed.Load() == nil {
				if err := lookUp(rand.IntN(customers)); err != nil {
					failed.Store(&err)
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / time.Since(start).Seconds(), nil
}

// measureHashing compares what known customers wait while passwords of others are
// hashed all the time with what they wait in quiet.
func measureHashing(ctx context.Context, vendor *stack.Customers, stdout io.Writer) (float64, error) {
	keys := map[string]any{"kloudless.url": "", "sources": []any{vendor.Source("vendor")}, "cache.ttl": "1h"}
	var quietP99, hashingP99 []float64
	var hashed atomic.Int64
	_, err := withStack(ctx, keys, func(s *stack.Stack) (figures, error) {
		crowd, err := newCrowd(ctx, s)
		if err != nil {
			return nil, err
		}
		for range phases {
			quiet, err := crowd.pull(ctx, phaseTime)
			if err != nil {
				return nil, err
			}
			busy, stop := context.WithCancel(ctx)
			var group sync.WaitGroup
			errs := make(chan error, hashers)
			for i := range hashers {
				group.Go(func() { errs <- logInStrangers(busy, s, i, &hashed) })
			}
			hashing, err := crowd.pull(ctx, phaseTime)
			stop()
			group.Wait()
			for range hashers {
				err = errors.Join(err, <-errs)
			}
			if n := quiet.refused + hashing.refused; err == nil && n > 0 {
				err = fmt.Errorf("%d requests of known customers were refused", n)
			}
			if err != nil {
				return nil, err
			}
			quietP99, hashingP99 = append(quietP99, quiet.p99()), append(hashingP99, hashing.p99())
		}
		return nil, nil
	})
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(stdout, "p99 %.1f ms, while %.1f passwords a second are hashed %.1f ms\n",
		median(quietP99), float64(hashed.Load())/(phases*phaseTime).Seconds(), median(hashingP99))
	return ratio(hashingP99, quietP99), nil
}

// logInStrangers logs in one stranger after the other, until ctx ends.
func logInStrangers(ctx context.Context, s *stack.Stack, number int, hashed *atomic.Int64) error {
	p := newPerson(s, address(20, number), "", "")
	defer p.leave()
	for ctx.Err() == nil {
		n := hashed.Add(1)
		status, _, err := p.askAs(ctx, "/v2/", fmt.Sprintf("eve%d@else.example", n), "password")
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("stranger %d: expected status 200, found %d", n, status)
		}
	}
	return nil
}
