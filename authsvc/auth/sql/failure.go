package sql

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pullgate/pullgate/authsvc/auth"
)

// errConnect begins what happened before there was a connection.
var errConnect = errors.New("connecting to the database")

// A failure is an error without anything of the DSN, of a customer, or of a row.
type failure struct {
	outcome string // for Environment.Observe
	text    string
	err     error // auth.ErrUnreadable or nil
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.err }

// told is a failure with a text of this package.
func told(err error) error { return &failure{outcome: "error", text: err.Error()} }

// unreadable is a failure that says nothing about other accounts.
func unreadable(format string, arguments ...any) error {
	return &failure{"error", fmt.Sprintf(format, arguments...), auth.ErrUnreadable}
}

// A queryError names the query that an error is about.
type queryError struct {
	error
	query string
}

func (e *queryError) Unwrap() error { return e.error }

func (q *query) failed(err error) error {
	if err == nil {
		return nil
	}
	return &queryError{err, q.name}
}

// explain returns what may be told of an error: drivers and servers quote values,
// names and statements.
func explain(err error) error {
	var known *failure
	var query *queryError
	var postgres *pgconn.PgError
	var maria *mysql.MySQLError
	var network *net.OpError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	f := &failure{outcome: "error"}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		*f = *known
	case errors.As(err, &postgres):
		f.explainPostgres(postgres)
	case errors.As(err, &maria):
		f.explainMariaDB(maria)
	case errors.Is(err, context.Canceled):
		f.outcome, f.text = "canceled", "the look-up was canceled"
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		f.outcome, f.text = "timeout", "no answer within the timeout"
	case errors.Is(err, errAnswer):
		f.text, f.err = errAnswer.Error(), auth.ErrUnreadable
	case errors.As(err, &certificate):
		f.text = certificate.Error()
	case errors.As(err, &name):
		f.text = name.Error()
	case errors.As(err, &network):
		f.text = network.Error()
	case errors.Is(err, mysql.ErrNoTLS) || strings.Contains(err.Error(), "server refused TLS connection"):
		f.text = "the server does not offer TLS"
	default:
		f.text = "the connection was lost"
	}
	if errors.Is(err, errConnect) {
		f.text = errConnect.Error() + ": " + f.text
	}
	if errors.As(err, &query) {
		f.text = query.query + ": " + f.text
	}
	return f
}

// explainPostgres tells the class of an SQLSTATE. Class 42 quotes the query's own
// words. https://www.postgresql.org/docs/current/errcodes-appendix.html
func (f *failure) explainPostgres(err *pgconn.PgError) {
	class := ""
	if len(err.Code) == 5 {
		class = err.Code[:2]
	}
	switch {
	case err.Code == "57014":
		f.outcome, f.text = "timeout", "the server ended the query, which took too long"
	case err.Code == "08P01":
		f.text = "the server, or a pooler in front of it, refuses a parameter such as statement_timeout; authsvc has a pool of its own and needs no other"
	case err.Code == "25006":
		f.text = "the query writes, and may only read"
	case err.Code == "57P01", err.Code == "57P02", err.Code == "57P03":
		f.text = "the server is starting or shutting down"
	case class == "22":
		f.text, f.err = "a value does not fit the query", auth.ErrUnreadable
	case class == "28":
		f.text = "the server refuses the user or the password in dsn_file"
	case err.Code == "3D000":
		f.text = "the server does not have the database in dsn_file"
	case class == "42":
		f.text = err.Message
	case class == "53":
		f.text = "the server has too many connections, or no memory or disk left"
	default:
		f.text = "the server failed"
	}
	f.text += " (SQLSTATE " + err.Code + ")"
}

// explainMariaDB tells the meaning of an error's number.
// https://mariadb.com/kb/en/mariadb-error-code-reference/
// https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
func (f *failure) explainMariaDB(err *mysql.MySQLError) {
	switch err.Number {
	case 1969, 3024:
		f.outcome, f.text = "timeout", "the server ended the query, which took too long"
	case 1792:
		f.text = "the query writes, and may only read"
	case 1053, 1079, 1927:
		f.text = "the server is shutting down"
	case 1044, 1045, 1698:
		f.text = "the server refuses the user or the password in dsn_file"
	case 1049:
		f.text = "the server does not have the database in dsn_file"
	case 1142, 1143, 1370: // their words before that have the user and the host
		_, what, _ := strings.Cut(err.Message, " for ")
		f.text = "the user in dsn_file may not read " + what
	case 1193:
		f.text = "the server does not know the variable for its time limit; expected driver: mariadb for MariaDB, and driver: mysql for MySQL 5.7.8 or newer"
	case 1052, 1054, 1064, 1146, 1305: // they quote the query's own words
		f.text = err.Message
	case 1267, 1270, 1271: // a column's character set does not have what the customer typed
		f.text, f.err = err.Message, auth.ErrUnreadable
	case 1139, 1300, 1366, 1690, 3141, 3854:
		f.text, f.err = "a value does not fit the query", auth.ErrUnreadable
	case 1040, 1203, 1226:
		f.text = "the server has too many connections"
	default:
		f.text = "the server failed"
	}
	f.text = fmt.Sprintf("%s (error %d)", f.text, err.Number)
}

// lost says whether a connection ended that may have been good before.
func lost(err error) bool {
	var postgres *pgconn.PgError
	var maria *mysql.MySQLError
	switch {
	case errors.Is(err, errConnect), errors.Is(err, errAnswer):
		return false
	case errors.As(err, &postgres):
		return postgres.Code == "57P01" || postgres.Code == "57P02"
	case errors.As(err, &maria):
		return maria.Number == 1053 || maria.Number == 1927
	}
	for _, end := range []error{driver.ErrBadConn, mysql.ErrInvalidConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}
