package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// The account of the made-up pulls.
const probeUser, probeToken = "probe@vendor.example", "probes-token"

// A prober makes up pulls through a stack's nginx.
type prober struct {
	*stack.Stack
	result string
}

func newProber(t *testing.T) prober {
	t.Helper()
	dir := t.TempDir()
	credential, result := filepath.Join(dir, "credential"), filepath.Join(dir, "result.json")
	writeFile(t, credential, probeUser+":"+probeToken+"\n")
	s := start(t, stack.Options{NoStream: true, Authsvc: map[string]any{
		"probe.url": "https://docker.vendor.example", "probe.image": "vendor/probe:1", "probe.credential_file": credential, "probe.result_file": result,
		"cache.ttl": "1s", "cache.stale_ttl": "0s", "guard.look_ups": 4, "guard.refusals_per_second": 1,
	}})
	s.Vendor.SetAccount(probeToken, vendorapi.Account{Email: probeUser, Licenses: []vendorapi.License{license("lic_probe", "vendor/probe", "1")}})
	push(t, s, "vendor/probe:1")
	push(t, s, "vendor/probe:2")
	return prober{s, result}
}

// pull makes up a pull, and returns the exit status and what is printed. Its result is
// recorded for authsvc.
func (p prober) pull(t *testing.T, args ...string) (status int, out string) {
	t.Helper()
	argv := append([]string{"probe", "--record", "--config", filepath.Join(p.Dir, "authsvc.yaml"), "--probe.url", p.URL}, args...)
	cmd := exec.CommandContext(t.Context(), p.Program("authsvc"), argv...)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), probeToken) || strings.Contains(string(text), "X-Amz-Signature") {
		t.Errorf("a secret is printed: %s", text)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

var failedStep = regexp.MustCompile(`(?m)^authsvc_probe_failed\{step="(\w+)"\} 1$`)

// failed is the step that failed last, as authsvc's metrics have it.
func (p prober) failed(t *testing.T) string {
	t.Helper()
	if m := failedStep.FindStringSubmatch(fetch(t, p.AuthsvcURL()+"/metrics").body); m != nil {
		return m[1]
	}
	return ""
}

// TestProbe: a made-up pull sees what only nginx sees, says at which step, and is
// nobody's in authsvc's numbers.
func TestProbe(t *testing.T) {
	p := newProber(t)
	other, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const trusted = "proxy_ssl_trusted_certificate %s;\n"
	ours := fmt.Sprintf(trusted, filepath.Join(p.Dir, "ca.pem"))
	nginx := func(upstream string) func() {
		configure := func(settings map[string]string) {
			if err := p.ReconfigureNginx(t.Context(), func(o *stack.Options) { o.Settings = settings }); err != nil {
				t.Fatal(err)
			}
		}
		configure(map[string]string{"upstream.conf": upstream})
		return func() { configure(nil) }
	}
	fault := func(server *standin.Server, f standin.Fault) func() {
		server.Inject(f)
		return server.ClearFaults
	}
	guesses := 0
	before := fetch(t, p.AuthsvcURL()+"/metrics").body
	for _, test := range []struct {
		name  string
		args  []string
		cause func() (mend func())
		// step is where it fails, and want is what is printed.
		step, want string
	}{
		{name: "all is well"},
		{name: "nobody listens", args: []string{"--probe.address", "127.0.0.1:1"}, step: "connect", want: "connection refused"},
		{name: "no license", args: []string{"--probe.image", "vendor/probe:2"}, step: "manifest", want: "found 404: MANIFEST_UNKNOWN: vendor/probe:2 does not exist or is not part of your license (request "},
		{name: "nginx's resolver does not answer", cause: func() func() { return nginx("resolver 127.0.0.1:1;\nresolver_timeout 200ms;\n" + ours) },
			step: "manifest", want: "found 503: UNAVAILABLE"},
		{name: "nginx does not trust the registry", cause: func() func() {
			return nginx(fmt.Sprintf("resolver %s valid=1s ipv6=off;\n"+trusted, p.DNS.Addr(), other.File))
		}, step: "manifest", want: "found 503: UNAVAILABLE"},
		{name: "the registry closes connections", cause: func() func() { return fault(p.ECR.Front, standin.Fault{Reset: true}) }, step: "manifest", want: "nginx's error log"},
		{name: "the storage refuses", cause: func() func() { return fault(p.ECR.Bucket, standin.Fault{Status: 403, Body: "<Error/>"}) }, step: "storage", want: "expected status 206, found 403"},
		{name: "the storage breaks off", cause: func() func() { return fault(p.ECR.Bucket, standin.Fault{Reset: true}) }, step: "storage", want: "network from here"},
		{name: "the source of customers is down", cause: func() func() { return fault(p.Vendor.TLS, standin.Fault{Status: 502}) }, step: "ping", want: "found 503: UNAVAILABLE"},
		{name: "authsvc is gone", cause: func() func() {
			if err := p.KillAuthsvc(); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := p.StartAuthsvc(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}, step: "ping", want: "found 503: UNAVAILABLE"},
		{name: "strangers guess, and authsvc does not know the account yet", cause: func() func() {
			if err := p.RestartAuthsvc(t.Context()); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the guard to turn guesses away", func() bool {
				guesses++
				return send(t, p.Stack, request{uri: "/v2/", user: email, password: fmt.Sprint("guess", guesses)}).status == 429
			})
			return func() {}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.cause != nil {
				mend := test.cause()
				// A decision from before may be in force for a second.
				waitFor(t, "the pull to end as expected", func() bool {
					status, _ := p.pull(t, test.args...)
					return (status == 3) == (test.step != "")
				})
				defer func() {
					mend()
					waitFor(t, "the pull to succeed again", func() bool { status, _ := p.pull(t); return status == 0 && p.failed(t) == "" })
				}()
			}
			status, out := p.pull(t, test.args...)
			if want := map[bool]int{true: 0, false: 3}[test.step == ""]; status != want || !strings.Contains(out, test.want) || (out == "") != (test.step == "") {
				t.Fatalf("status %d, want %d and %q:\n%s", status, want, test.want, out)
			}
			if test.step != "" && !strings.HasPrefix(out, fmt.Sprintf("FAILED  %-9s ", test.step)) {
				t.Errorf("failed elsewhere than at %s:\n%s", test.step, out)
			}
			if p.Process("authsvc") != nil && test.name != "authsvc is gone" && p.failed(t) != test.step {
				t.Errorf("the metrics have %q, want %q", p.failed(t), test.step)
			}
		})
		if test.name == "all is well" {
			if now := fetch(t, p.AuthsvcURL()+"/metrics").body; decisions(now) != decisions(before) {
				t.Errorf("it is counted as a customer's:\n%s\nbefore:\n%s", decisions(now), decisions(before))
			}
		}
	}
	if log := readFile(t, p.LogFile("authsvc")); !strings.Contains(log, `"probe":true`) || strings.Contains(log, probeToken) {
		t.Error("expected decisions with probe in the log, and no secret")
	}
}

var decisionCounts = regexp.MustCompile(`(?m)^authsvc_(decisions_total|decision_duration|guard_lookups_total).*$`)

// decisions are the counts of decisions and of strangers in metrics.
func decisions(metrics string) string {
	return strings.Join(decisionCounts.FindAllString(metrics, -1), "\n")
}
