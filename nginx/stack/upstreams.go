package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/plain"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// UpstreamOptions describe one of several registries behind the front.
type UpstreamOptions struct {
	// Name is what authsvc and tokenrefresher call it.
	Name string
	// ECR are options of a stand-in for ECR; the stack sets Backend and
	// Certificate. Account or Region must differ from the others'.
	ECR ecr.Options
	// Plain is the host name of a registry that is not ECR, but a docker-registry
	// with a user and a password.
	Plain string
	// Prefixes are as in authsvc's configuration: "acme/", or a map of the
	// customers' prefix to the registry's. None for a stand-by.
	Prefixes []any
	// Standby names the registry that serves while this one fails.
	Standby string
	// Authsvc changes keys of authsvc's entry, and Registry of tokenrefresher's.
	Authsvc, Registry map[string]any
}

// An Upstream is a running registry behind the front.
type Upstream struct {
	Name string
	// Host is its host name, without a port.
	Host string
	// Front is where nginx asks, and Endpoint where authsvc does.
	Front, Endpoint *standin.Server
	// ECR is the stand-in; nil for a registry that is not ECR.
	ECR *ecr.Server
	// TokenFile is the path of the file that tokenrefresher writes.
	TokenFile string

	opts  UpstreamOptions
	store *store
	plain *plain.Server
	dir   string // of the user and password, if it is plain
}

// What a stack has without Options.Upstreams.
const (
	mainUpstream = "main"
	mainStore    = "docker-registry"
	mainUser     = "AWS"
)

// newUpstreams creates the registries that the options ask for, in their order.
func (s *Stack) newUpstreams() error {
	options := s.opts.Upstreams
	if len(options) == 0 {
		options = []UpstreamOptions{{Name: mainUpstream, ECR: s.opts.ECR, Registry: s.opts.Registry}}
	}
	if options[0].Plain != "" {
		return errors.New("expected a stand-in for ECR as the first of Options.Upstreams, which is Stack.ECR")
	}
	s.Upstreams = map[string]*Upstream{}
	for _, o := range options {
		u := &Upstream{Name: o.Name, Host: o.Plain, opts: o, dir: s.Dir, TokenFile: filepath.Join(s.Dir, "token", o.Name+".json")}
		if u.Host == "" {
			u.Host = ecr.Host(or(o.ECR.Account, ecr.Account), or(o.ECR.Region, ecr.Region))
		}
		s.Upstreams[u.Name] = u
		s.upstreams = append(s.upstreams, u)
	}
	return nil
}

// startStores starts the registries that have the images.
func (s *Stack) startStores(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, u := range s.upstreams {
		name, user := mainStore, mainUser
		if len(s.opts.Upstreams) > 0 {
			name += "-" + u.Name
		}
		if u.opts.Plain != "" {
			user = "pullgate"
		}
		g.Go(func() (err error) {
			u.store, err = s.startStore(ctx, name, user)
			return err
		})
	}
	return g.Wait()
}

// startUpstream starts what is in front of the images.
func (s *Stack) startUpstream(u *Upstream) error {
	certificate, err := s.ca.Issue(u.Name+"-registry", u.Host, "127.0.0.1")
	if err != nil {
		return err
	}
	if u.opts.Plain != "" {
		if err := u.writeCredential(); err != nil {
			return err
		}
		if u.plain, err = plain.Start(u.store.Backend, certificate); err != nil {
			return err
		}
		u.Front, u.Endpoint = u.plain.Front, u.plain.Endpoint
		return s.DNS.Set(u.Host, time.Second, "127.0.0.1")
	}
	o := u.opts.ECR
	o.Backend, o.Certificate, o.BucketTLS = u.store.Backend, certificate, s.opts.Content != nil
	if u.ECR, err = ecr.Start(o); err != nil {
		return err
	}
	u.Front, u.Endpoint = u.ECR.Front, u.ECR.Endpoint
	return s.DNS.Set(u.Host, time.Second, "127.0.0.1")
}

func (u *Upstream) close() error {
	switch {
	case u.ECR != nil:
		return u.ECR.Close()
	case u.plain != nil:
		return u.plain.Close()
	}
	return nil
}

// servers are all but the bucket: S3 is a service of its own, and clients ask it
// themselves.
func (u *Upstream) servers() []*standin.Server {
	if u.ECR != nil {
		return []*standin.Server{u.Front, u.Endpoint, u.ECR.API}
	}
	return []*standin.Server{u.Front, u.Endpoint}
}

// A Failure is a way in which a whole registry fails.
type Failure string

// Failures of an Upstream.
const (
	Refuses Failure = "refuses connections"
	Hangs   Failure = "hangs"
	Errs    Failure = "answers 500"
)

// Failures returns all.
func Failures() []Failure { return []Failure{Refuses, Hangs, Errs} }

// Fail makes the registry fail, for nginx, authsvc, and tokenrefresher, until the
// returned function is called. That ends all other faults, too.
func (u *Upstream) Fail(how Failure) (mend func() error, err error) {
	var errs []error
	for _, server := range u.servers() {
		switch how {
		case Refuses:
			errs = append(errs, server.Refuse())
		case Hangs:
			server.Inject(standin.Fault{Hang: true})
		case Errs:
			server.Inject(standin.Fault{Status: http.StatusInternalServerError, Body: "Internal Server Error\n"})
		}
	}
	return func() error {
		var errs []error
		for _, server := range u.servers() {
			server.ClearFaults()
			errs = append(errs, server.Accept())
		}
		return errors.Join(errs...)
	}, errors.Join(errs...)
}

// Forget drops the recorded requests and counts.
func (u *Upstream) Forget() {
	for _, server := range u.servers() {
		server.Forget()
	}
	if u.ECR != nil {
		u.ECR.Bucket.Forget()
	}
}

// address is what nginx connects to, as in the token file.
func (u *Upstream) address(stream bool) string {
	if stream { // which adds the port
		return u.Host
	}
	return fmt.Sprintf("%s:%d", u.Host, u.Front.Port())
}

// ChangePassword gives a registry that is not ECR another password, which
// tokenrefresher reads at its next refresh. The old one is no longer accepted.
func (u *Upstream) ChangePassword() error {
	if u.plain == nil {
		return fmt.Errorf("changing the password of %s: it is a stand-in for ECR", u.Name)
	}
	if err := u.store.setPassword(); err != nil {
		return fmt.Errorf("changing the password of %s: %w", u.Name, err)
	}
	return u.writeCredential()
}

// writeCredential writes the files for tokenrefresher.
func (u *Upstream) writeCredential() error {
	for path, text := range map[string]string{u.userFile(): u.store.User, u.passwordFile(): u.store.Password} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			return fmt.Errorf("writing the credential of %s: %w", u.Name, err)
		}
	}
	return nil
}

func (u *Upstream) userFile() string     { return filepath.Join(u.dir, u.Name+".user") }
func (u *Upstream) passwordFile() string { return filepath.Join(u.dir, u.Name+".password") }
