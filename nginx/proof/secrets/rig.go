package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pullgate/pullgate/nginx/proof/marks"
	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// A rig is the stack, its secrets, and the search for them.
type rig struct {
	seed  uint64
	short bool
	out   io.Writer
	began time.Time
	work  string // files that this program and the stack share
	stack *stack.Stack
	echo  *standin.Server // a registry that is not ECR
	order *rand.Rand

	ann, bob, cid, dora, eve customer
	digest, layer            string

	mu     sync.Mutex
	set    *marks.Set
	search *marks.Searcher
	asked  int
	codes  map[string]int // of the errors that customers were shown
	notes  []string
}

// A customer has an account at the vendor.
type customer struct{ user, token string }

// repository is what most requests are about.
const repository = "acme/appliance"

// settings/authsvc-timeouts.conf, so that a paused authsvc costs little time.
const impatient = "proxy_connect_timeout 1s;\nproxy_send_timeout 1s;\nproxy_read_timeout 1s;\n"

func newRig(ctx context.Context, seed uint64, short bool, out io.Writer) (_ *rig, err error) {
	r := &rig{
		seed: seed, short: short, out: out, began: time.Now().Add(-time.Second), set: marks.NewSet(seed),
		order: rand.New(rand.NewPCG(seed, 1)), codes: map[string]int{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	// The programs must not leave a core dump even where the machine allows it.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}); err != nil {
		return nil, fmt.Errorf("allowing core dumps: %w; as root they can always be allowed", err)
	}
	if r.work, err = os.MkdirTemp("", "pullgate-secrets-"); err != nil {
		return nil, err
	}
	if err := r.startEcho(); err != nil {
		return nil, err
	}
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	r.search = r.set.Searcher()
	return r, r.fill(ctx)
}

// startEcho starts the registry of tokenrefresher's second entry, kind basic.
func (r *rig) startEcho() error {
	ca, err := pki.New(r.work)
	if err != nil {
		return err
	}
	certificate, err := ca.Issue("echo", "127.0.0.1")
	if err != nil {
		return err
	}
	accepts := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	r.echo, err = standin.Start(accepts, standin.Options{TLS: serverTLS(certificate)})
	for name, text := range map[string]string{"user": "robot", "password": r.set.Awkward("password of another registry")} {
		err = errors.Join(err, os.WriteFile(filepath.Join(r.work, name), []byte(text), 0o600))
	}
	return errors.Join(err, os.MkdirAll(filepath.Join(r.work, "state"), 0o700))
}

func (r *rig) start(ctx context.Context) (err error) {
	key, session := r.set.New("AWS secret key"), r.set.New("AWS session token")
	other := map[string]any{
		"name": "other", "kind": "basic", "host": "registry.example.com", "probe_url": r.echo.URL() + "/v2/", "ca_file": filepath.Join(r.work, "ca.pem"),
		"username_file": filepath.Join(r.work, "user"), "password_file": filepath.Join(r.work, "password"), "file": filepath.Join(r.work, "state", "other.json"),
	}
	r.stack, err = stack.Start(ctx, stack.Options{
		Progress: r.out,
		Settings: map[string]string{"authsvc-timeouts.conf": impatient},
		Main:     fmt.Sprintf("error_log %[1]s/nginx-notice.log notice;\nerror_log %[1]s/%[2]s debug;", r.work, nginxDebugLog),
		Authsvc: map[string]any{
			"log.level": "debug", "cache.ttl": "1s", "cache.refusal_ttl": "1s", "release.tag_ttl": "1s", "guard.failures": 9,
			"release.file": filepath.Join(r.work, "state", "releases"), "kloudless.timeout": "1s", "upstream.timeout": "1s",
		},
		Tokenrefresher: map[string]any{"log.level": "debug", "control.min_interval": "0s", "backoff.initial": "100ms", "backoff.max": "1s", "timeout": "2s"},
		Registries:     []any{other},
		Env:            []string{"GOTRACEBACK=crash"}, // every goroutine's stack, and a core dump if the system lets it
		AWSEnv:         []string{"AWS_ACCESS_KEY_ID=" + ecr.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + key, "AWS_SESSION_TOKEN=" + session, "AWS_EC2_METADATA_DISABLED=true"},
		ECR:            ecr.Options{SecretAccessKey: key, SessionToken: session},
	})
	return err
}

// fill creates images and accounts.
func (r *rig) fill(ctx context.Context) error {
	for _, tag := range []string{"1.0", "1.1", "2.0"} {
		img, err := stack.Image(repository + ":" + tag)
		if err != nil {
			return err
		}
		if r.digest, err = r.stack.Push(ctx, repository+":"+tag, img); err != nil {
			return err
		}
		layers, err := img.Layers()
		if err != nil {
			return err
		}
		layer, err := layers[0].Digest()
		if err != nil {
			return err
		}
		r.layer = layer.String()
	}
	licensed := vendorapi.License{ID: "lic_1", Releases: []vendorapi.Release{{Repository: repository, Tags: []string{"*"}}}}
	expired, withdrawn := licensed, licensed
	expired.Expiration, withdrawn.Inactive = time.Now().AddDate(0, -1, 0), true
	elsewhere := vendorapi.License{ID: "lic_4", Releases: []vendorapi.Release{{Repository: "else/where", Tags: []string{"*"}}}}
	r.ann, r.bob, r.cid = r.account("ann", licensed), r.account("bob", expired), r.account("cid", withdrawn)
	r.dora, r.eve = r.account("dora", elsewhere), r.account("eve", licensed)
	r.learn()
	return nil
}

// account creates a customer with a token and licenses.
func (r *rig) account(name string, licenses ...vendorapi.License) customer {
	c := r.stranger(name)
	r.stack.Vendor.SetAccount(c.token, vendorapi.Account{Email: c.user, Licenses: licenses})
	return c
}

// stranger creates a credential that the vendor does not know.
func (r *rig) stranger(name string) customer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return customer{name + "@acme.example", r.set.New(name + "'s API token")}
}

// learn makes the search know the secrets that were created in the meantime, and
// the tokens that ECR has issued.
func (r *rig) learn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, password := range r.stack.ECR.Passwords() {
		r.set.Add("ECR's token", password)
	}
	r.search.Learn(r.set)
}

// awkward creates a password that no token can be.
func (r *rig) awkward(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set.Awkward(name)
}

// logs is the end of the logs, for an error.
func (r *rig) logs() string {
	var b strings.Builder
	for _, name := range []string{"authsvc", "tokenrefresher", "nginx-error"} {
		lines := strings.Split(r.stack.Log(name), "\n")
		for _, line := range lines[max(0, len(lines)-8):] {
			fmt.Fprintf(&b, "\n%s: %.600s", name, line)
		}
	}
	return b.String()
}

// saw says what the phase did, and forgets it.
func (r *rig) saw() string {
	text := fmt.Sprintf("%d answers", r.asked)
	for _, note := range r.notes {
		text += "; " + note
	}
	r.asked, r.notes = 0, nil
	return text
}

func (r *rig) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *rig) close() error {
	var errs []error
	if r.stack != nil {
		errs = append(errs, r.stack.Close())
	}
	if r.echo != nil {
		errs = append(errs, r.echo.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(r.work))...)
}
