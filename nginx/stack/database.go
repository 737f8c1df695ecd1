package stack

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // by its name

	"github.com/pullgate/pullgate/nginx/stack/pki"
)

// The drivers of a Database, as authsvc names them.
const (
	Postgres = "postgres"
	MariaDB  = "mariadb"
)

// A Database is Debian's PostgreSQL or MariaDB in a temporary directory, on a unix
// socket and, with TLS, on a port of 127.0.0.1.
type Database struct {
	Driver string
	// Dir is the temporary directory, which has the socket.
	Dir  string
	Port int
	// Admin is connected through the socket and may do anything.
	Admin *sql.DB

	ca      *pki.Authority
	argv    []string
	starter *starter
	process *Process
}

// databaseUser runs a server that is started by root: neither server runs as root.
const databaseUser = 65534 // nobody

// databaseName is the one database of a server.
const databaseName = "vendor"

// StartDatabase starts a server of a driver without tables.
func StartDatabase(ctx context.Context, driver string) (*Database, error) {
	d := &Database{Driver: driver, starter: newStarter()}
	if err := d.create(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", driver, err), d.Close())
	}
	return d, nil
}

func (d *Database) create(ctx context.Context) (err error) {
	if d.Dir, err = os.MkdirTemp("", "pullgate-db-"); err != nil {
		return err
	}
	if d.Port, err = freePort(); err != nil {
		return err
	}
	if d.ca, err = pki.New(d.Dir); err != nil {
		return err
	}
	if _, err := d.ca.Issue("server", "127.0.0.1"); err != nil {
		return err
	}
	prepare := d.preparePostgres
	if d.Driver == MariaDB {
		prepare = d.prepareMariaDB
	}
	if err := prepare(ctx); err != nil {
		return err
	}
	if err := d.Start(ctx); err != nil {
		return err
	}
	if d.Driver == Postgres {
		if _, err := d.Admin.ExecContext(ctx, "CREATE DATABASE "+databaseName); err != nil {
			return err
		}
		return d.openAdmin(databaseName)
	}
	return nil
}

// preparePostgres makes a cluster. Through the socket, the superuser needs no password.
func (d *Database) preparePostgres(ctx context.Context) error {
	bin, err := postgresPrograms()
	if err != nil {
		return err
	}
	data := filepath.Join(d.Dir, "data")
	if err := d.own(); err != nil {
		return err
	}
	if err := d.run(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		return err
	}
	// https://www.postgresql.org/docs/current/auth-pg-hba-conf.html
	rules := "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		return err
	}
	d.argv = []string{filepath.Join(bin, "postgres"), "-D", data}
	for name, value := range map[string]string{
		"listen_addresses": "127.0.0.1", "port": strconv.Itoa(d.Port), "unix_socket_directories": d.Dir, "max_connections": "100",
		"ssl": "on", "ssl_cert_file": filepath.Join(d.Dir, "server.pem"), "ssl_key_file": filepath.Join(d.Dir, "server.key"),
		"fsync": "off", "shared_buffers": "16MB",
	} {
		d.argv = append(d.argv, "-c", name+"="+value)
	}
	return errors.Join(d.openAdmin("postgres"), d.own())
}

// postgresPrograms is where Debian keeps the newest server's programs.
func postgresPrograms() (string, error) {
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(all) == 0 {
		return "", errors.New("PostgreSQL's initdb is not in /usr/lib/postgresql; as root: apt-get install postgresql")
	}
	return filepath.Dir(all[len(all)-1]), nil
}

// prepareMariaDB makes a data directory. Through the socket, root needs no password.
func (d *Database) prepareMariaDB(ctx context.Context) error {
	install, err := tool("mariadb-install-db", "mariadb-server")
	if err != nil {
		return err
	}
	server, err := tool("mariadbd", "mariadb-server")
	if err != nil {
		return err
	}
	data, initial := filepath.Join(d.Dir, "data"), filepath.Join(d.Dir, "init.sql")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(initial, []byte("CREATE DATABASE IF NOT EXISTS "+databaseName+" CHARACTER SET utf8mb4;\n"), 0o600); err != nil {
		return err
	}
	if err := d.own(); err != nil {
		return err
	}
	if err := d.run(ctx, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"); err != nil {
		return err
	}
	d.argv = []string{
		server, "--no-defaults", "--datadir=" + data, "--tmpdir=" + d.Dir, "--socket=" + d.socket(), "--pid-file=" + filepath.Join(d.Dir, "pid"),
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(d.Port), "--skip-name-resolve", "--init-file=" + initial,
		"--ssl-cert=" + filepath.Join(d.Dir, "server.pem"), "--ssl-key=" + filepath.Join(d.Dir, "server.key"),
		"--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=2",
	}
	return d.openAdmin(databaseName)
}

func (d *Database) socket() string { return filepath.Join(d.Dir, "sock") }

func (d *Database) openAdmin(name string) error {
	if d.Admin != nil {
		_ = d.Admin.Close() // it is idle
	}
	if d.Driver == Postgres {
		var err error
		d.Admin, err = sql.Open("pgx", fmt.Sprintf("host=%s port=%d user=postgres database=%s", d.Dir, d.Port, name))
		return err
	}
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.DBName = "unix", d.socket(), "root", name
	config.MultiStatements, config.Logger = true, &mysql.NopLogger{}
	config.Params = map[string]string{"time_zone": "'+00:00'"}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	d.Admin = sql.OpenDB(connector)
	return nil
}

// DSN names the server by its address and a role. Its certificate is verified with
// CAFile.
func (d *Database) DSN(user, password string) string {
	if d.Driver == MariaDB {
		return fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/%s", user, password, d.Port, databaseName)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: fmt.Sprintf("127.0.0.1:%d", d.Port), Path: databaseName}
	return u.String()
}

// CAFile is the PEM file of the CA that signed the server's certificate.
func (d *Database) CAFile() string { return d.ca.File }

// CreateRole creates a role that may log in with a new password, which it returns.
func (d *Database) CreateRole(ctx context.Context, name string) (password string, err error) {
	password = rand.Text()
	statement := fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, password)
	if d.Driver == MariaDB {
		statement = fmt.Sprintf("CREATE USER %s IDENTIFIED BY '%s'", name, password)
	}
	_, err = d.Admin.ExecContext(ctx, statement)
	return password, err
}

// Start starts the server, or starts it again, and waits until it answers.
func (d *Database) Start(ctx context.Context) error {
	for deadline := time.Now().Add(time.Minute); ; {
		p, err := d.starter.start(command{name: d.Driver, argv: unprivileged(d.argv), env: baseEnv(d.Dir), dir: d.Dir}, d.Dir)
		if err != nil {
			return err
		}
		d.process = p
		err = poll(ctx, time.Minute, p, d.Admin.PingContext)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		// After Kill, PostgreSQL's other processes end by themselves, and no
		// server can start before.
		select {
		case <-p.Exited():
			time.Sleep(100 * time.Millisecond)
		default:
			return err
		}
	}
}

// Stop stops the server as an operator does: it ends its connections first.
func (d *Database) Stop() error {
	if d.Driver == Postgres { // SIGTERM waits for the clients
		_ = d.process.cmd.Process.Signal(os.Interrupt)
	}
	return d.process.Stop()
}

// Kill ends the server as a crash does.
func (d *Database) Kill() { d.process.Kill() }

// Close stops the server and removes the directory.
func (d *Database) Close() error {
	var errs []error
	if d.Admin != nil {
		errs = append(errs, d.Admin.Close())
	}
	if d.process != nil {
		errs = append(errs, d.Stop())
	}
	d.starter.close()
	if d.Port != 0 {
		releasePort(d.Port)
	}
	return errors.Join(append(errs, os.RemoveAll(d.Dir))...)
}

// own hands the directory to the server's user.
func (d *Database) own() error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(d.Dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, databaseUser, databaseUser))
	})
}

// run runs a program that prepares the server.
func (d *Database) run(ctx context.Context, argv ...string) error {
	argv = unprivileged(argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = baseEnv(d.Dir), d.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w:\n%s", argv[0], err, out)
	}
	return nil
}

// unprivileged is a command line that leaves root's rights.
func unprivileged(argv []string) []string {
	if os.Geteuid() != 0 {
		return argv
	}
	id := strconv.Itoa(databaseUser)
	return append([]string{"/usr/bin/setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups", "--pdeathsig=TERM", "--"}, argv...)
}
