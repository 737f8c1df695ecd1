package sql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// A dialect is how one kind of server is spoken to.
type dialect struct {
	postgres bool
	tokens   []token
	// placeholder is the driver's word for the nth parameter, from 1.
	placeholder func(n int) string
	// connector reads a DSN, and checks that it protects what is sent. Its
	// errors contain nothing of the DSN.
	connector func(dsn string) (driver.Connector, error)
}

// newDialect returns the dialect for the settings' driver.
func newDialect(c Config) (dialect, error) {
	authorities, err := readAuthorities(c.CAFile)
	if err != nil {
		return dialect{}, fmt.Errorf("ca_file: %w", err)
	}
	// A little earlier than the look-up's own timeout, so that the server's answer
	// arrives and the connection can be used again.
	limit := c.Timeout * 9 / 10
	switch c.Driver {
	case "postgres":
		return dialect{
			postgres: true, tokens: postgresTokens,
			placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
			connector:   func(dsn string) (driver.Connector, error) { return postgres(dsn, authorities, limit) },
		}, nil
	case "mariadb", "mysql":
		return dialect{
			tokens:      mysqlTokens,
			placeholder: func(int) string { return "?" },
			connector: func(dsn string) (driver.Connector, error) {
				return mariadb(dsn, authorities, timeoutVariable(c.Driver, limit))
			},
		}, nil
	}
	return dialect{}, fmt.Errorf("driver: expected postgres, mariadb or mysql, found %q", c.Driver)
}

func readAuthorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("expected certificates as PEM in %s, found none", file)
	}
	return pool, nil
}

// isLocal says whether a connection stays on this machine.
func isLocal(host string) bool {
	return filepath.IsAbs(host) || strings.HasPrefix(host, "@") || host == "localhost" || net.ParseIP(host).IsLoopback()
}

// postgres reads a DSN for PostgreSQL.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
func postgres(dsn string, authorities *x509.CertPool, limit time.Duration) (driver.Connector, error) {
	config, err := pgx.ParseConfig(dsn)
	if err == nil && !strings.Contains(dsn, "sslmode") && (authorities != nil || !allLocal(config)) {
		config, err = pgx.ParseConfig(withVerification(dsn))
	}
	if err != nil { // it quotes the DSN
		return nil, errors.New("expected postgres://USER:PASSWORD@HOST:PORT/DATABASE or host=HOST user=USER password=PASSWORD dbname=DATABASE, with percent signs or quotes around other characters, and certificates that can be read; found something else")
	}
	for _, h := range hosts(config) {
		if filepath.IsAbs(h.Host) || strings.HasPrefix(h.Host, "@") { // TLS is for TCP
			continue
		}
		verified := h.TLSConfig != nil && !h.TLSConfig.InsecureSkipVerify
		if !verified && (authorities != nil || !isLocal(h.Host)) {
			return nil, errors.New("expected a connection over verified TLS, found a weaker sslmode; write sslmode=verify-full, and ca_file in the configuration if the server's CA is your own")
		}
		if verified && authorities != nil {
			h.TLSConfig.RootCAs = authorities
		}
	}
	milliseconds := strconv.FormatInt(limit.Milliseconds(), 10)
	for name, value := range map[string]string{
		"application_name": "authsvc", "client_encoding": "UTF8", "standard_conforming_strings": "on",
		"default_transaction_read_only": "on", "statement_timeout": milliseconds, "idle_in_transaction_session_timeout": "10000",
	} {
		config.RuntimeParams[name] = value
	}
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return bound(dial(ctx, network, address))
	}
	config.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	return stdlib.GetConnector(*config), nil
}

// withVerification adds the strictest sslmode to a DSN that has none.
func withVerification(dsn string) string {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " sslmode=verify-full"
	}
	if strings.Contains(dsn, "?") {
		return dsn + "&sslmode=verify-full"
	}
	return dsn + "?sslmode=verify-full"
}

// hosts are all servers and ways that a DSN names.
func hosts(config *pgx.ConnConfig) []*pgconn.FallbackConfig {
	return append([]*pgconn.FallbackConfig{{Host: config.Host, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
}

func allLocal(config *pgx.ConnConfig) bool {
	for _, h := range hosts(config) {
		if !isLocal(h.Host) {
			return false
		}
	}
	return true
}

// timeoutVariable is the server's own bound on a query:
// https://mariadb.com/kb/en/server-system-variables/#max_statement_time (seconds)
// https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_max_execution_time
func timeoutVariable(driver string, limit time.Duration) [2]string {
	if driver == "mariadb" {
		return [2]string{"max_statement_time", strconv.FormatFloat(limit.Seconds(), 'f', 3, 64)}
	}
	return [2]string{"max_execution_time", strconv.FormatInt(limit.Milliseconds(), 10)}
}

// mariadb reads a DSN for MariaDB or MySQL.
// https://github.com/go-sql-driver/mysql#dsn-data-source-name
func mariadb(dsn string, authorities *x509.CertPool, timeout [2]string) (driver.Connector, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil || config.Net != "unix" && config.Net != "tcp" { // the error may quote the DSN
		return nil, errors.New("expected USER:PASSWORD@tcp(HOST:PORT)/DATABASE or USER:PASSWORD@unix(/PATH)/DATABASE, found something else")
	}
	if host, _, err := net.SplitHostPort(config.Addr); config.Net == "tcp" && (err != nil || authorities != nil || !isLocal(host)) {
		if config.TLSConfig != "" && config.TLSConfig != "true" {
			return nil, errors.New("expected a connection over verified TLS, found another value of tls; write tls=true, and ca_file in the configuration if the server's CA is your own")
		}
		config.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: authorities}
	}
	// A server may not read files here, and text may not become SQL.
	config.AllowAllFiles, config.AllowFallbackToPlaintext, config.MultiStatements, config.InterpolateParams = false, false, false, false
	config.AllowOldPasswords = false
	config.ParseTime, config.Loc = true, time.UTC
	config.Logger = &mysql.NopLogger{}
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	config.Params["time_zone"], config.Params[timeout[0]] = "'+00:00'", timeout[1]
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return bound(new(net.Dialer).DialContext(ctx, network, address))
	}
	if err := config.Apply(mysql.EnableCompression(false)); err != nil { // a few bytes could become many
		return nil, err
	}
	return mysql.NewConnector(config)
}
