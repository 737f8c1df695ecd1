package content_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/pullgate/pullgate/authsvc/content"
	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/stock"
)

// least is the least that a file must say.
const least = "upstreams: [{name: main, host: registry.example.com}]\n"

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "content.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDefaults(t *testing.T) {
	c, err := content.Load(write(t, least), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := content.Config{
		Listen: content.Listen{Address: "unix:/run/authsvc-content/store.sock", Mode: 0o660, MaxRequests: 1024},
		Served: "/run/authsvc-content/served.sock", Control: "/run/authsvc-content/control.sock", Private: "127.0.0.1:9103",
		Folder: "/var/lib/authsvc-content", Limits: stock.Limits{MaxBytes: 100e9, MinFree: 2e9},
		Origin: origin.Options{
			Upstreams: []origin.Upstream{{Name: "main", Host: "registry.example.com"}},
			Connect:   3 * time.Second, Header: 10 * time.Second, Stall: 2 * time.Second,
		},
		Fetch: fetch.Limits{
			Total: 64, PerCustomer: 16, MaxBlob: 52_000 << 20, MaxManifest: 4 << 20,
			Linger: 10 * time.Minute, MaxTime: 6 * time.Hour, Backoff: 100 * time.Millisecond,
		},
		FirstByte: 2500 * time.Millisecond, RangeWait: time.Second,
		Scrub:    content.Scrub{Rate: 20e6, Pause: 24 * time.Hour},
		LogLevel: slog.LevelInfo,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestExample: the example shows the defaults, but for its registry.
func TestExample(t *testing.T) {
	c, err := content.Load("content.example.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := content.Load(write(t, least), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want.Origin.Upstreams[0].Host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	want.Origin.Redirects = origin.S3Hosts("eu-west-1")
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestSources: flags before the environment, before the file.
func TestSources(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	content.Flags(flags)
	if err := flags.Parse([]string{"--fetch.total", "3"}); err != nil {
		t.Fatal(err)
	}
	c, err := content.Load(write(t, least+"fetch: {total: 1, per_customer: 1}\nmax_size: 1.5TiB\n"),
		[]string{"AUTHSVC_CONTENT_FETCH_TOTAL=2", "AUTHSVC_CONTENT_FETCH_PER_CUSTOMER=2", "AUTHSVC_CACHE_TTL=1s", "AUTHSVC_CONTENT_REDIRECTS_HOSTS=a.example.com,b.example.com:8443"}, flags)
	if err != nil {
		t.Fatal(err)
	}
	if c.Fetch.Total != 3 || c.Fetch.PerCustomer != 2 || c.Limits.MaxBytes != 3<<39 || len(c.Origin.Redirects) != 2 {
		t.Errorf("%+v", c)
	}
}

func TestProblems(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "upstreams: expected a list of at least one registry, found nothing",
		"upstreams: main\n":           `upstreams: expected a list of at least one registry, found "main"`,
		"upstreams: [main]\n":         `upstreams[0]: expected the keys of a registry, found "main"`,
		"upstreams: [{name: main}]\n": "upstreams[0].host: expected a host name in lower case",
		"upstreams: [{name: m, host: https://registry.example.com}]\n":                "upstreams[0].host: expected a host name in lower case",
		"upstreams: [{name: m, host: a.example.com, region: x}]\n":                    "unknown key upstreams[0].region",
		"upstreams: [{name: m, host: a.example.com}, {name: m, host: b.example.com}]": "upstreams[1].name: expected a name other than that of upstreams[0]",
		least + "max_size: 100\n":                         "max_size: expected a size with its unit such as 50GB, from 1MB to",
		least + "max_size: -1GB\n":                        `max_size: expected a size with its unit such as 50GB, from 1MB to`,
		least + "max_size: 9999999999TB\n":                "max_size: expected a size",
		least + "redirects: {regions: [Ireland]}\n":       "redirects.regions: expected a list of at most 100 regions",
		least + "redirects: {hosts: ['*.example.com']}\n": "redirects.hosts: expected a list of at most 100 hosts",
		least + "listen: {address: '127.0.0.1:80'}\n":     "listen.address: expected unix:/PATH",
		least + "colour: blue\n":                          "unknown key colour; authsvc content --help lists the known keys",
		least + "folder: files\n":                         "folder: expected an absolute path",
	} {
		if _, err := content.Load(write(t, text), nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := content.Load("", nil, nil); err == nil || !strings.Contains(err.Error(), "--config FILE") {
		t.Errorf("without a file: %v", err)
	}
	if _, err := content.Load(write(t, least), []string{"AUTHSVC_CONTENT_MAXSIZE=1GB"}, nil); err == nil || !strings.Contains(err.Error(), "unknown environment variable AUTHSVC_CONTENT_MAXSIZE") {
		t.Errorf("a typing error in the environment: %v", err)
	}
}

// TestControlSocket does not need the rest to be right.
func TestControlSocket(t *testing.T) {
	path, err := content.ControlSocket(write(t, "control: {address: unix:/run/x.sock}\nmax_size: wrong\n"), nil, nil)
	if err != nil || path != "/run/x.sock" {
		t.Errorf("%q, %v", path, err)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	good := content.Config{Folder: dir}
	if err := content.Check(good); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*content.Config){
		"folder: stat":                     func(c *content.Config) { c.Folder = filepath.Join(dir, "none") },
		"folder: expected a folder, found": func(c *content.Config) { c.Folder = "/dev/null" },
		"ca_file: open":                    func(c *content.Config) { c.Origin.CAFile = filepath.Join(dir, "none.pem") },
		"listen.group: group":              func(c *content.Config) { c.Listen.Group = "no-such-group" },
	} {
		c := good
		change(&c)
		if err := content.Check(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
