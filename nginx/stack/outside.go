package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/dns"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// OutsideOptions of StartOutside: addresses of this machine, without ports,
// at which the stand-ins have the originals' ports and names.
type OutsideOptions struct {
	// API is ECR's API, Registry ECR's registry, Vendor the vendor's API, and
	// DNS the name server, which knows these and Names.
	API, Registry, Vendor, DNS string
	// VendorHost is the vendor's API's name.
	VendorHost string
	// Names are further ones, to their addresses.
	Names map[string]string
	// ECR are further options of its stand-in.
	ECR ecr.Options
	// Progress gets a line when a part is started; nil for none.
	Progress io.Writer
}

// StartOutside starts what lies outside of the fleet's machines, and none of
// the programs: the registry with the images, and the stand-ins, by TLS under
// the names that the originals have, for machines of their own.
func StartOutside(ctx context.Context, opts OutsideOptions) (*Stack, error) {
	s := &Stack{opts: Options{Timeout: 30 * time.Second, Progress: opts.Progress}, starter: newStarter(), processes: map[string]*Process{}}
	if s.opts.Progress == nil {
		s.opts.Progress = io.Discard
	}
	if err := s.startOutside(ctx, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("starting what is outside: %w", err), s.Close())
	}
	return s, nil
}

func (s *Stack) startOutside(ctx context.Context, opts OutsideOptions) (err error) {
	if s.Dir, err = os.MkdirTemp("", "pullgate-"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.Dir, "log"), 0o700); err != nil {
		return err
	}
	if s.ca, err = pki.New(s.Dir); err != nil {
		return err
	}
	s.progress("starting the registry and the stand-ins")
	if err := s.startRegistry(ctx); err != nil {
		return err
	}
	if err := s.startVendorAt(opts); err != nil {
		return err
	}
	if err := s.startECRAt(opts); err != nil {
		return err
	}
	if s.DNS, err = dns.StartAt(net.JoinHostPort(opts.DNS, "53")); err != nil {
		return err
	}
	names := map[string]string{
		opts.VendorHost: opts.Vendor, s.ECR.Name(): opts.Registry, ecr.APIHost(or(opts.ECR.Region, ecr.Region)): opts.API,
	}
	for _, more := range []map[string]string{names, opts.Names} {
		for name, address := range more {
			if err := s.DNS.Set(name, time.Second, address); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Stack) startVendorAt(opts OutsideOptions) error {
	certificate, err := s.ca.Issue("vendor-cert", opts.VendorHost)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(opts.Vendor, "443"))
	if err != nil {
		return err
	}
	s.Vendor, err = vendorapi.Start(vendorapi.Options{Certificate: &certificate, Listener: listener})
	return err
}

func (s *Stack) startECRAt(opts OutsideOptions) error {
	o := opts.ECR
	o.Backend = s.backend
	account, region := or(o.Account, ecr.Account), or(o.Region, ecr.Region)
	var err error
	if o.Certificate, err = s.ca.Issue("ecr-cert", ecr.Host(account, region), ecr.APIHost(region)); err != nil {
		return err
	}
	if o.APIListener, err = net.Listen("tcp", net.JoinHostPort(opts.API, "443")); err != nil {
		return err
	}
	if o.FrontListener, err = net.Listen("tcp", net.JoinHostPort(opts.Registry, "443")); err != nil {
		return errors.Join(err, o.APIListener.Close())
	}
	s.ECR, err = ecr.Start(o)
	return err
}

// Certificate makes a certificate of the stack's CA for host, and returns the
// files of both.
func (s *Stack) Certificate(host string) (certificate, key string, err error) {
	if _, err := s.ca.Issue(host, host); err != nil {
		return "", "", err
	}
	base := filepath.Join(s.Dir, host)
	return base + ".pem", base + ".key", nil
}
