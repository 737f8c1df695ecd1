package sql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// A database is a pool of connections.
type database struct {
	pool    *sql.DB
	timeout time.Duration
	// spare is how many connections may have been lost at once.
	spare int
}

// open makes the pool, without a connection. It closes it when ctx ends.
func open(ctx context.Context, c Config, d dialect, env auth.Environment) *database {
	pool := sql.OpenDB(connector{c.DSNFile, d, env.Fault})
	pool.SetMaxOpenConns(c.MaxConnections)
	pool.SetMaxIdleConns(c.MaxConnections)
	pool.SetConnMaxIdleTime(c.MaxIdleTime)
	pool.SetConnMaxLifetime(c.MaxLifetime)
	context.AfterFunc(ctx, func() { _ = pool.Close() })
	return &database{pool, c.Timeout, c.MaxConnections}
}

// read calls f in a read-only transaction, within the timeout. A connection that was
// lost is replaced: as many as there are before f, since a server that has restarted
// ended them all, and one during f.
func (db *database) read(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	begun := 0
	for range db.spare + 1 {
		err := db.try(ctx, func(ctx context.Context, tx *sql.Tx) error {
			begun++
			return f(ctx, tx)
		})
		if begun > 1 || ctx.Err() != nil || !lost(err) {
			return explain(err)
		}
	}
	return explain(driver.ErrBadConn)
}

func (db *database) try(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	tx, err := db.pool.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	if err := f(ctx, tx); err != nil {
		_ = tx.Rollback() // nothing was written
		return err
	}
	return tx.Commit()
}

const maxDSN = 4 << 10 // bytes

// A connector reads the DSN anew for each connection, so that a rotated password
// counts at once.
type connector struct {
	file    string
	dialect dialect
	fault   func(what string, err error)
}

// Driver implements driver.Connector. Nobody asks for it.
func (c connector) Driver() driver.Driver { return nil }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	next, err := c.next()
	c.fault("dsn_file", err)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConnect, told(fmt.Errorf("dsn_file: %w", err)))
	}
	conn, err := next.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConnect, err)
	}
	return conn, nil
}

// next makes the driver's connector. What it tells is safe to log.
func (c connector) next() (driver.Connector, error) {
	file, err := os.Open(settings.SecretPath(c.file))
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was read only
	text, err := io.ReadAll(io.LimitReader(file, maxDSN+1))
	if err != nil {
		return nil, err
	}
	dsn := strings.TrimSpace(string(text))
	if dsn == "" || len(text) > maxDSN {
		return nil, fmt.Errorf("expected a data source name of at most %d bytes in %s, found %d bytes", maxDSN, c.file, len(text))
	}
	next, err := c.dialect.connector(dsn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.file, err)
	}
	return next, nil
}

// maxAnswer bounds what the server sends between two messages to it, in bytes: the
// drivers keep a whole row in memory, whatever its size.
const maxAnswer = 16 << 20

var errAnswer = fmt.Errorf("the server's answer is longer than %d MiB", maxAnswer>>20)

// A boundedConn reads at most maxAnswer bytes after each write.
type boundedConn struct {
	net.Conn
	read atomic.Int64
}

func bound(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: conn}, nil
}

// Read implements net.Conn.
func (c *boundedConn) Read(p []byte) (int, error) {
	if c.read.Load() > maxAnswer {
		return 0, errAnswer
	}
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *boundedConn) Write(p []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(p)
}

// SyscallConn implements syscall.Conn: MariaDB's driver looks whether a connection has
// been closed.
func (c *boundedConn) SyscallConn() (syscall.RawConn, error) {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return conn.SyscallConn()
}
