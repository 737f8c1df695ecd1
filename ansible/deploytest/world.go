package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pullgate/pullgate/nginx/proof/marks"
	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// The network: one bridge with everybody on it.
const (
	bridge     = "br0"
	gateway    = "10.77.0.1"
	ecrAPI     = "10.77.0.2"
	ecrFront   = "10.77.0.3"
	vendorAPI  = "10.77.0.4"
	balancer   = "10.77.0.5"
	elsewhere  = "10.77.0.6" // authsvc has no reason to reach it
	nameServer = "169.254.169.253"
	metadata   = "169.254.169.254"

	serverName = "docker.vendor.com"
	vendorHost = "api.kloudless.com"
	region     = "eu-west-1"
)

// The customer.
const (
	customer = "ann@acme.example"
	image    = "acme/appliance:1.4"
	renewed  = "renew at https://vendor.com/licenses"
)

// The account of the made-up pulls, and what it is licensed for.
const (
	probeUser  = "probe@vendor.com"
	probeImage = "vendor/probe:1"
)

// roleKey is the name of the role's key, as instance metadata returns it.
const roleKey = "ASIAINSTANCEROLE0000"

// The secrets, marked so that leaks.go can find them.
var (
	secrets     = marks.NewSet(rand.Uint64()) //nolint:gosec // only for the test
	token       = secrets.New("customer's API token")
	probeToken  = secrets.New("token of the made-up pulls")
	roleSecret  = secrets.New("role's secret key")
	roleSession = secrets.New("role's session token")
	vaulted     = secrets.Awkward("password of another registry")
	proxied     = secrets.New("password of a proxy")
)

// A world is everything: the outside services, the machines, the customers.
type world struct {
	paths
	outside  *stack.Outside
	regions  regions
	engine   *stack.Engine
	machines []*machine
	site     *siteWatch
	front    atomic.Value // string: the address that serverName resolves to for customers
	config   inventory
	leaks    leaks
	watching context.Context //nolint:containedctx // for the watch, which starts with each machine
}

func newWorld(ctx context.Context, p paths) (*world, error) {
	w := &world{paths: p}
	for _, step := range []func(context.Context) error{w.makeNetwork, w.startOutside, w.startMetadata, w.makeKey} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// makeNetwork creates the bridge with the addresses of all outside services, and
// a private /etc that can be changed.
func (w *world) makeNetwork(ctx context.Context) error {
	script := "mount --make-rprivate /; ip link set lo up; ip link add " + bridge + " type bridge; ip link set " + bridge + " up; ip addr add " + gateway + "/24 dev " + bridge + "\n"
	for _, address := range []string{ecrAPI, ecrFront, vendorAPI, balancer, elsewhere} {
		script += "ip addr add " + address + "/24 dev " + bridge + "\n"
	}
	for _, address := range []string{nameServer, metadata} {
		script += "ip addr add " + address + "/32 dev " + bridge + "\n"
	}
	script += fmt.Sprintf("mkdir -p %[1]s %[2]s; mount -t overlay overlay -o lowerdir=/etc,upperdir=%[1]s,workdir=%[2]s /etc\n", w.in("etc", "upper"), w.in("etc", "work"))
	_, err := sh(ctx, script)
	return err
}

func (w *world) startOutside(ctx context.Context) error {
	var err error
	w.outside, err = stack.StartOutside(ctx, stack.OutsideOptions{
		API: ecrAPI, Registry: ecrFront, Vendor: vendorAPI, DNS: nameServer, VendorHost: vendorHost,
		ECR:      ecr.Options{Region: region, AccessKeyID: roleKey, SecretAccessKey: roleSecret, SessionToken: roleSession},
		Progress: os.Stdout,
	})
	if err != nil {
		return err
	}
	w.outside.Vendor.SetAccount(token, vendorapi.Account{Email: customer, Licenses: []vendorapi.License{{
		ID: "lic_acme", Expiration: time.Now().AddDate(1, 0, 0),
		Releases: licensed(),
	}}})
	w.outside.Vendor.SetAccount(probeToken, vendorapi.Account{Email: probeUser, Licenses: []vendorapi.License{{
		ID: "lic_probe", Releases: []vendorapi.Release{{Repository: "vendor/probe", Tags: []string{"1"}}},
	}}})
	for _, ref := range []string{image, "acme/appliance:2.0", probeImage} {
		img, err := stack.Image(ref)
		if err != nil {
			return err
		}
		if _, err := w.outside.Push(ctx, ref, img); err != nil {
			return err
		}
	}
	// A server that authsvc has no reason to reach.
	server := &http.Server{Addr: elsewhere + ":80", ReadHeaderTimeout: time.Second, Handler: http.NotFoundHandler()}
	go func() { _ = server.ListenAndServe() }() // ends with the process
	return nil
}

// startMetadata starts AWS's own mock of the instance metadata, at its address.
func (w *world) startMetadata(ctx context.Context) error {
	configuration, err := json.Marshal(map[string]any{"metadata": map[string]any{"values": map[string]any{
		"iam-security-credentials": map[string]string{
			"Code": "Success", "LastUpdated": time.Now().UTC().Format(time.RFC3339), "Type": "AWS-HMAC",
			"AccessKeyId": roleKey, "SecretAccessKey": roleSecret, "Token": roleSession,
			"Expiration": time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
		},
	}}})
	if err != nil {
		return err
	}
	file := w.in("metadata.json")
	if err := os.WriteFile(file, configuration, 0o600); err != nil {
		return err
	}
	mock := filepath.Join(w.root, ".build", "bin", "ec2-metadata-mock")
	if _, err := (command{name: mock, args: []string{"--imdsv2", "--hostname", metadata, "--port", "80", "--config-file", file}, dir: w.work}).start(w.in("metadata.log")); err != nil {
		return err
	}
	return eventually(ctx, 10*time.Second, func(ctx context.Context) error {
		status, err := get(ctx, "http://"+metadata+"/latest/meta-data/")
		if err == nil && status != http.StatusUnauthorized {
			err = fmt.Errorf("expected IMDSv1 to be refused with 401, found %d", status)
		}
		return err
	})
}

func (w *world) makeKey(ctx context.Context) error {
	_, err := command{name: "ssh-keygen", args: []string{"-q", "-t", "ed25519", "-N", "", "-f", w.in("key")}}.run(ctx)
	return err
}

// sendCustomersTo makes serverName resolve to that address, for docker and for pulls.
func (w *world) sendCustomersTo(address string) error {
	w.front.Store(address)
	return os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n"+address+" "+serverName+"\n"), 0o644) //nolint:gosec // as on every machine
}

// get returns the status of one request, over its own connection.
func get(ctx context.Context, url string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the status shows which site answers
	}}
	response, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

// one returns the only line of the output.
func one(out string, err error) (string, error) { return strings.TrimSpace(out), err }
