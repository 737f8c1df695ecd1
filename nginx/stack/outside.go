package stack

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/dns"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// Outside holds the services outside of the fleet's machines: the registry with
// the images, and the stand-ins.
type Outside struct {
	// Dir is the temporary directory.
	Dir string
	// ECR, Vendor and DNS are the stand-ins.
	ECR    *ecr.Server
	Vendor *vendorapi.Server
	DNS    *dns.Server

	timeout time.Duration // until a child must be ready
	out     io.Writer
	ca      *pki.Authority
	starter *starter
	store   *store // what is behind ECR

	mu        sync.Mutex
	processes map[string]*Process
	stores    []string          // the processes of all stores
	idle      []*http.Transport // with connections to them
	closed    bool
}

// OutsideOptions of StartOutside: addresses of this machine, without ports, where
// the stand-ins use the originals' ports and names.
type OutsideOptions struct {
	// API is ECR's API, Registry ECR's registry, Vendor the vendor's API, and
	// DNS the name server, which knows these and Names.
	API, Registry, Vendor, DNS string
	// VendorHost is the vendor's API's name.
	VendorHost string
	// Names maps additional names to addresses.
	Names map[string]string
	// ECR are additional options of its stand-in.
	ECR ecr.Options
	// Progress gets a line when a part starts; may be nil.
	Progress io.Writer
}

// StartOutside starts only the services outside of the fleet's machines, over TLS
// and with the originals' names, for separate machines.
func StartOutside(ctx context.Context, opts OutsideOptions) (*Outside, error) {
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	o := &Outside{timeout: 30 * time.Second, out: opts.Progress, starter: newStarter(), processes: map[string]*Process{}}
	if err := o.startAll(ctx, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the outside services: %w", err), o.Close())
	}
	return o, nil
}

func (o *Outside) startAll(ctx context.Context, opts OutsideOptions) (err error) {
	if o.Dir, err = os.MkdirTemp("", "pullgate-"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(o.Dir, "log"), 0o700); err != nil {
		return err
	}
	if o.ca, err = pki.New(o.Dir); err != nil {
		return err
	}
	o.progress("starting the registry and the stand-ins")
	if o.store, err = o.startStore(ctx, mainStore, mainUser); err != nil {
		return err
	}
	if err := o.startVendorAt(opts); err != nil {
		return err
	}
	if err := o.startECRAt(opts); err != nil {
		return err
	}
	if o.DNS, err = dns.StartAt(net.JoinHostPort(opts.DNS, "53")); err != nil {
		return err
	}
	names := map[string]string{
		opts.VendorHost: opts.Vendor, o.ECR.Name(): opts.Registry, ecr.APIHost(or(opts.ECR.Region, ecr.Region)): opts.API,
	}
	for _, more := range []map[string]string{names, opts.Names} {
		for name, address := range more {
			if err := o.DNS.Set(name, time.Second, address); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *Outside) startVendorAt(opts OutsideOptions) error {
	certificate, err := o.ca.Issue("vendor-cert", opts.VendorHost)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(opts.Vendor, "443"))
	if err != nil {
		return err
	}
	o.Vendor, err = vendorapi.Start(vendorapi.Options{Certificate: &certificate, Listener: listener})
	return err
}

func (o *Outside) startECRAt(opts OutsideOptions) error {
	var err error
	o.ECR, err = o.StartECR(opts.API, opts.Registry, opts.ECR)
	return err
}

// StartECR starts one more stand-in for ECR, of another account or region, with the
// same images: replication that takes no time. It has addresses of its own, and the
// caller closes it and sets its names.
func (o *Outside) StartECR(api, registry string, options ecr.Options) (*ecr.Server, error) {
	options.Backend = o.store.Backend
	account, region := or(options.Account, ecr.Account), or(options.Region, ecr.Region)
	var err error
	if options.Certificate, err = o.ca.Issue("ecr-"+account+"-"+region, ecr.Host(account, region), ecr.APIHost(region)); err != nil {
		return nil, err
	}
	for _, l := range []struct {
		listener      *net.Listener
		address, port string
	}{{&options.APIListener, api, "443"}, {&options.FrontListener, registry, "443"}, {&options.BucketListener, registry, "80"}} {
		if *l.listener, err = net.Listen("tcp", net.JoinHostPort(l.address, l.port)); err != nil {
			return nil, err // the process ends
		}
	}
	return ecr.Start(options)
}

// Images is the registry with the images, for a front other than ECR's.
func (o *Outside) Images() ecr.Backend { return o.store.Backend }

// Certificate issues a certificate for host, signed by the stack's CA, and returns
// the files of the certificate and its key.
func (o *Outside) Certificate(host string) (certificate, key string, err error) {
	if _, err := o.ca.Issue(host, host); err != nil {
		return "", "", err
	}
	base := filepath.Join(o.Dir, host)
	return base + ".pem", base + ".key", nil
}

// CA returns a pool with the stack's CA; CAFile is its PEM file.
func (o *Outside) CA() *x509.CertPool { return o.ca.Pool }

// CAFile is the PEM file of the CA that signs nginx's certificate.
func (o *Outside) CAFile() string { return o.ca.File }

// Process returns a child: "docker-registry", and in a Stack also "nginx",
// "authsvc" and "tokenrefresher".
func (o *Outside) Process(name string) *Process {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.processes[name]
}

// Log returns the last lines of a child's log, and in a Stack also of "access" and
// "nginx-error".
func (o *Outside) Log(name string) string { return tail(o.LogFile(name), 40) }

// LogFile is the path of that log.
func (o *Outside) LogFile(name string) string { return filepath.Join(o.logDir(), name+".log") }

func (o *Outside) logDir() string { return filepath.Join(o.Dir, "log") }

// start starts a child that replaces the one with the same name.
func (o *Outside) start(name string, c command) (*Process, error) {
	c.name, c.dir = name, o.Dir
	if o.Dir == "" {
		return nil, fmt.Errorf("starting %s: the stack is closed", name)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, fmt.Errorf("starting %s: the stack is closed", name)
	}
	if old := o.processes[name]; old != nil {
		select {
		case <-old.exited:
		default:
			return nil, fmt.Errorf("starting %s: it is already running", name)
		}
	}
	p, err := o.starter.start(c, o.logDir())
	if err == nil {
		o.processes[name] = p
	}
	return p, err
}

func (o *Outside) progress(what string) {
	_, _ = fmt.Fprintln(o.out, what) // a closed terminal is no reason to stop
}
