package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/filesource"
	"github.com/pullgate/pullgate/nginx/stack/issuer"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
	"github.com/pullgate/pullgate/nginx/stack/webauth"
)

// A Source is where the vendor's customers and licenses are.
type Source interface {
	// Add adds an account, or replaces it. It returns the secret to log in with,
	// which is the given one unless the source makes secrets itself.
	Add(ctx context.Context, secret string, a vendorapi.Account) (string, error)
	// Fail makes the source fail until the returned function is called.
	Fail(ctx context.Context) (mend func() error, err error)

	entry(name string) (map[string]any, error) // of authsvc's sources
	close() error
}

// starts are the kinds of sources, by the names of Options.Sources.
var starts = map[string]func(context.Context, *Stack) (Source, error){
	"kloudless": func(_ context.Context, s *Stack) (Source, error) { return kloudlessSource{s}, nil },
	"web":       startWeb,
	"sql":       func(ctx context.Context, _ *Stack) (Source, error) { return startSQL(ctx, Postgres) },
	"mariadb":   func(ctx context.Context, _ *Stack) (Source, error) { return startSQL(ctx, MariaDB) },
	"file":      startFiles,
	"jwt":       startIssuer,
}

// SourceKinds are the names that Options.Sources can have.
func SourceKinds() []string {
	var names []string
	for name := range starts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// startSources starts the sources that authsvc asks, in the order of Options.Sources.
func (s *Stack) startSources(ctx context.Context) error {
	s.Sources = map[string]Source{}
	for _, name := range s.opts.Sources {
		start, ok := starts[name]
		if !ok {
			return fmt.Errorf("expected a source of %s, found %q", strings.Join(SourceKinds(), ", "), name)
		}
		s.progress("starting the source " + name)
		source, err := start(ctx, s)
		if err != nil {
			return fmt.Errorf("starting the source %s: %w", name, err)
		}
		s.Sources[name] = source
	}
	return nil
}

// sourceKeys are authsvc's settings for its sources.
func (s *Stack) sourceKeys() (map[string]any, error) {
	if len(s.opts.Sources) == 0 {
		return map[string]any{"kloudless.url": s.Vendor.TLS.URL() + vendorapi.Base, "kloudless.ca_file": s.ca.File}, nil
	}
	var list []any
	for _, name := range s.opts.Sources {
		entry, err := s.Sources[name].entry(name)
		if err != nil {
			return nil, err
		}
		list = append(list, entry)
	}
	return map[string]any{"sources": list}, nil
}

// reset makes a stand-in close each connection.
func reset(server *standin.Server) (mend func() error) {
	server.Inject(standin.Fault{Reset: true})
	return func() error { server.ClearFaults(); return nil }
}

func (s *Stack) closeSources() error {
	var errs []error
	for _, source := range s.Sources {
		errs = append(errs, source.close())
	}
	return errors.Join(errs...)
}

// kloudlessSource is the stack's stand-in for Kloudless' API.
type kloudlessSource struct{ *Stack }

func (k kloudlessSource) Add(_ context.Context, token string, a vendorapi.Account) (string, error) {
	k.Vendor.SetAccount(token, a)
	return token, nil
}

func (k kloudlessSource) Fail(context.Context) (func() error, error) {
	return reset(k.Vendor.TLS), nil
}

func (k kloudlessSource) entry(name string) (map[string]any, error) {
	return map[string]any{"name": name, "kind": "kloudless", "url": k.Vendor.TLS.URL() + vendorapi.Base, "ca_file": k.ca.File}, nil
}

func (k kloudlessSource) close() error { return nil } // the stack's

// webSource is a vendor's web service.
type webSource struct {
	*webauth.Server
	caFile, dir string
}

func startWeb(_ context.Context, s *Stack) (Source, error) {
	certificate, err := s.ca.Issue("web-cert", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	server, err := webauth.Start(webauth.Options{Certificate: certificate})
	return webSource{server, s.ca.File, s.Dir}, err
}

func (w webSource) Add(_ context.Context, password string, a vendorapi.Account) (string, error) {
	w.SetAccount(password, a)
	return password, nil
}

func (w webSource) Fail(context.Context) (func() error, error) {
	return reset(w.Server.Server), nil
}

func (w webSource) entry(name string) (map[string]any, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	example, err := os.ReadFile(filepath.Join(root, "authsvc/examples/web.yaml")) //nolint:gosec // the module's own
	if err != nil {
		return nil, err
	}
	entry, err := w.Source(example, w.caFile, w.dir)
	if err == nil {
		entry["name"] = name
	}
	return entry, err
}

func (w webSource) close() error { return w.Close() }

// sqlSource is a database.
type sqlSource struct{ *Customers }

func startSQL(ctx context.Context, driver string) (Source, error) {
	customers, err := StartCustomers(ctx, driver)
	return sqlSource{customers}, err
}

func (q sqlSource) Add(ctx context.Context, token string, a vendorapi.Account) (string, error) {
	return token, q.SetAccount(ctx, token, a)
}

func (q sqlSource) Fail(context.Context) (func() error, error) {
	q.Kill()
	return func() error { return q.Start(context.Background()) }, nil
}

func (q sqlSource) entry(name string) (map[string]any, error) { return q.Source(name), nil }
func (q sqlSource) close() error                              { return q.Close() }

// fileSource is an htpasswd file and a file of grants.
type fileSource struct {
	filesource.Files
	mu        sync.Mutex
	customers map[string]vendorapi.Account
}

func startFiles(_ context.Context, s *Stack) (Source, error) {
	dir := filepath.Join(s.Dir, "source")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	f := &fileSource{Files: filesource.New(dir), customers: map[string]vendorapi.Account{}}
	_, err := f.Add(context.Background(), rand.Text(), vendorapi.Account{Email: "nobody@vendor.example"}) // a list without users is refused
	return f, err
}

func (f *fileSource) Add(_ context.Context, password string, a vendorapi.Account) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.customers[password] = a
	return password, f.Write(f.customers)
}

func (f *fileSource) Fail(context.Context) (func() error, error) {
	return nil, errors.New("files cannot fail: the last good ones stay in force")
}

func (f *fileSource) entry(name string) (map[string]any, error) { return f.Source(name), nil }
func (f *fileSource) close() error                              { return nil }

// jwtSource is an issuer of signed tokens.
type jwtSource struct {
	*issuer.Server
	caFile string
}

func startIssuer(_ context.Context, s *Stack) (Source, error) {
	certificate, err := s.ca.Issue("issuer-cert", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	server, err := issuer.Start(certificate)
	return jwtSource{server, s.ca.File}, err
}

func (j jwtSource) Add(_ context.Context, _ string, a vendorapi.Account) (string, error) {
	return j.Token(rand.Text(), a, time.Now().Add(24*time.Hour))
}

func (j jwtSource) Fail(context.Context) (func() error, error) {
	return reset(j.Server.Server), nil
}

func (j jwtSource) entry(name string) (map[string]any, error) {
	return j.Source(name, j.caFile, ""), nil
}
func (j jwtSource) close() error { return j.Close() }
