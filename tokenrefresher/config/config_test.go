package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/pullgate/pullgate/tokenrefresher/config"
)

// one is the least that a file must say.
const one = "registries: [{name: main, file: /run/main.json}]\n"

func TestDefaults(t *testing.T) {
	c, err := config.Load(write(t, one), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Registries: []config.Registry{{Name: "main", Kind: config.ECR, Probe: true, File: "/run/main.json"}},
		Interval:   8 * time.Hour, Margin: 30 * time.Minute, Jitter: 10 * time.Minute, Timeout: 30 * time.Second,
		Backoff: config.Backoff{Initial: time.Second, Max: 5 * time.Minute},
		Control: config.Control{Address: "unix:/run/tokenrefresher/control.sock", Mode: 0o660, MinInterval: 10 * time.Second},
		Private: config.Private{Address: "127.0.0.1:9102"},
		Log:     config.Log{Level: slog.LevelInfo},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestExample: the example shows the defaults, but for its registries.
func TestExample(t *testing.T) {
	c, err := config.Load("../tokenrefresher.example.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Load(write(t, one), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want.Registries[0].Region, want.Registries[0].File = "eu-west-1", "/run/tokenrefresher/main.json"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestExampleOfSeveral: the entries that are commented out are valid.
func TestExampleOfSeveral(t *testing.T) {
	text, err := os.ReadFile("../tokenrefresher.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(write(t, strings.NewReplacer("  #- ", "  - ", "\n  #  ", "\n    ").Replace(string(text))), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Registry{
		{Name: "us", Kind: config.ECR, Region: "us-east-1", Probe: true, File: "/run/tokenrefresher/us.json"},
		{Name: "tools", Kind: config.ECR, Region: "eu-central-1", RegistryID: "210987654321", Probe: true, File: "/run/tokenrefresher/tools.json"},
		{
			Name: "other", Kind: config.Basic, Host: "registry.example.com", Probe: true, File: "/run/tokenrefresher/other.json",
			UsernameFile: "$CREDENTIALS_DIRECTORY/other.user", PasswordFile: "$CREDENTIALS_DIRECTORY/other.password",
		},
	}
	if len(c.Registries) != 4 || !reflect.DeepEqual(c.Registries[1:], want) {
		t.Errorf("got %+v", c.Registries)
	}
}

// TestExampleShowsEveryKey, so that it cannot fall behind.
func TestExampleShowsEveryKey(t *testing.T) {
	text, err := os.ReadFile("../tokenrefresher.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(flags)
	var keys []string
	flags.VisitAll(func(f *pflag.Flag) { keys = append(keys, strings.Split(f.Name, ".")...) })
	for line := range strings.Lines(config.RegistryHelp()) {
		keys = append(keys, strings.Fields(line)[0])
	}
	for _, key := range keys {
		if !strings.Contains(string(text), key+":") {
			t.Errorf("the example does not show %s", key)
		}
	}
}

func TestLaterWin(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(flags)
	if err := flags.Parse([]string{"--interval", "3h", "--backoff.max=3m"}); err != nil {
		t.Fatal(err)
	}
	file := write(t, one+"interval: 1h\nmargin: 1m\nbackoff: {initial: 2s, max: 1m}\ncontrol: {address: ''}\n")
	c, err := config.Load(file, []string{"TOKENREFRESHER_INTERVAL=2h", "TOKENREFRESHER_MARGIN=2m", "PATH=/bin"}, flags)
	if err != nil {
		t.Fatal(err)
	}
	if c.Interval != 3*time.Hour || c.Margin != 2*time.Minute || c.Backoff.Initial != 2*time.Second || c.Backoff.Max != 3*time.Minute || c.Control.Address != "" {
		t.Errorf("got %+v", c)
	}
}

func TestRegistry(t *testing.T) {
	c, err := config.Load(write(t, `
backoff: # all keys commented out
registries:
  - name: main
    kind: ecr
    region: eusc-de-east-1
    registry_id: "012345678901"
    role_arn: arn:aws-us-gov:iam::123456789012:role/path/images
    endpoint: http://127.0.0.1:4566
    host: registry.example.com:5000
    probe_url: https://10.0.0.1/v2/
    ca_file: /etc/ssl/a.pem
    file: /run/tokenrefresher/../tokenrefresher/main.json
    group: authsvc
  - {name: untried, probe_url: "off", file: /run/b.json, region: }
`), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Registry{
		{
			Name: "main", Kind: config.ECR, Region: "eusc-de-east-1", RegistryID: "012345678901",
			RoleARN: "arn:aws-us-gov:iam::123456789012:role/path/images", Endpoint: "http://127.0.0.1:4566",
			Host: "registry.example.com:5000", Probe: true, ProbeURL: "https://10.0.0.1/v2/", CAFile: "/etc/ssl/a.pem",
			File: "/run/tokenrefresher/main.json", Group: "authsvc",
		},
		{Name: "untried", Kind: config.ECR, File: "/run/b.json"},
	}
	if !reflect.DeepEqual(c.Registries, want) {
		t.Errorf("got  %+v\nwant %+v", c.Registries, want)
	}
}

const (
	registryKeys = "name, kind, region, registry_id, role_arn, endpoint, host, probe_url, ca_file, username_file, password_file, file, group"
	unit         = "expected a duration with its unit such as 30s, from "
	tls          = "expected a URL that begins with https:// (http:// only to a loopback address), without a user, found "
)

// TestRefuses has a bad file for each rule, with the exact message.
func TestRefuses(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"unknown key", one + "intervall: 8h", "unknown key intervall; tokenrefresher --help lists the known keys"},
		{"unknown key of a section", one + "backoff: {min: 8h}", "unknown key backoff.min; tokenrefresher --help lists the known keys"},
		{"value as section", one + "backoff: 3s", `backoff: expected the keys of a section, found "3s"`},
		{"section as value", one + "interval: {a: b}", "interval: " + unit + "1s to 168h0m0s, found a section"},
		{"bare duration", one + "margin: 60", "margin: " + unit + "0s to 24h0m0s, found 60"},
		{"interval too short", one + "interval: 0s", `interval: ` + unit + `1s to 168h0m0s, found "0s"`},
		{"duration as list", one + "timeout: [1s]", "timeout: " + unit + "1s to 5m0s, found a list of 1"},
		{"negative", one + "jitter: -1s", `jitter: ` + unit + `0s to 24h0m0s, found "-1s"`},
		{"jitter over interval", one + "interval: 5m", `jitter: expected less than interval, which is 5m0s, found "10m"`},
		{"backoff upside down", one + "backoff: {initial: 2m, max: 1m}", `backoff.max: expected at least backoff.initial, which is 2m0s, found "1m"`},
		{"control by TCP", one + "control: {address: '127.0.0.1:1'}", `control.address: expected unix:/PATH, found "127.0.0.1:1"`},
		{"relative socket", one + "control: {address: 'unix:a.sock'}", `control.address: expected unix:/PATH, found "unix:a.sock"`},
		{"mode without quotes", one + "control: {mode: 0660}", `control.mode: expected an octal mode in quotes such as "0660", found 0660 without quotes; write "0660"`},
		{"mode not octal", one + "control: {mode: '0999'}", `control.mode: expected an octal mode in quotes such as "0660", found "0999"`},
		{"group", one + "control: {group: 12}", `control.group: expected text of 0 to 64 bytes, found 12 without quotes; write "12"`},
		{"port", one + "private: {address: '127.0.0.1:http'}", `private.address: expected HOST:PORT or unix:/PATH, found "127.0.0.1:http"`},
		{"level", one + "log: {level: loud}", `log.level: expected debug, info, warn or error, found "loud"`},

		{"no registries", "interval: 8h", "registries: expected a list of at least one registry, found nothing"},
		{"empty registries", "registries: []", "registries: expected a list of at least one registry, found a list of 0"},
		{"registries as section", "registries: {main: {file: /a}}", "registries: expected a list of at least one registry, found a section"},
		{"registry as text", "registries: [main]", `registries[0]: expected the keys of a registry, found "main"`},
		{"unknown key of a registry", "registries: [{name: a, file: /a, password: x}]", "unknown key registries[0].password; known keys are " + registryKeys},
		{"no name", "registries: [{file: /a}]", `registries[0].name: expected 1 to 64 of a-z, 0-9, _, . and -, with a letter or digit first, found ""`},
		{"name", "registries: [{name: A B, file: /a}]", `registries[0].name: expected 1 to 64 of a-z, 0-9, _, . and -, with a letter or digit first, found "A B"`},
		{"no file", "registries: [{name: a}]", `registries[0].file: expected an absolute path, found ""`},
		{"relative file", "registries: [{name: a, file: a.json}]", `registries[0].file: expected an absolute path, found "a.json"`},
		{"same name", "registries: [{name: a, file: /a}, {name: a, file: /b}]", `registries[1].name: expected a name other than that of registries[0], found "a"`},
		{"same file", "registries: [{name: a, file: /a}, {name: b, file: /x/../a}]", `registries[1].file: expected a file other than that of registries[0], found "/x/../a"`},
		{"kind", "registries: [{name: a, file: /a, kind: gcr}]", `registries[0].kind: expected ecr or basic, found "gcr"`},
		{"region", "registries: [{name: a, file: /a, region: Ireland}]", `registries[0].region: expected a region such as eu-west-1, found "Ireland"`},
		{"account without quotes", "registries: [{name: a, file: /a, registry_id: 123456789012}]", `registries[0].registry_id: expected 12 digits in quotes, found 123456789012 without quotes; write "123456789012"`},
		{"account with a leading zero", "registries: [{name: a, file: /a, registry_id: 012345678901}]", `registries[0].registry_id: expected 12 digits in quotes, found 012345678901 without quotes; write "012345678901"`},
		{"octal account without quotes", "registries: [{name: a, file: /a, registry_id: 012345670123}]", `registries[0].registry_id: expected 12 digits in quotes, found 012345670123 without quotes; write "012345670123"`},
		{"short account without quotes", "registries: [{name: a, file: /a, registry_id: 0123}]", `registries[0].registry_id: expected 12 digits in quotes, found 0123`},
		{"role", "registries: [{name: a, file: /a, role_arn: images}]", `registries[0].role_arn: expected arn:aws:iam::ACCOUNT:role/NAME, found "images"`},
		{"endpoint in clear", "registries: [{name: a, file: /a, endpoint: 'http://api.ecr.aws'}]", `registries[0].endpoint: ` + tls + `"http://api.ecr.aws"`},
		{"endpoint with a password", "registries: [{name: a, file: /a, endpoint: 'https://u:p/w@api.ecr.aws'}]", `registries[0].endpoint: ` + tls + `"https://***@api.ecr.aws"`},
		{"probe in clear", "registries: [{name: a, file: /a, probe_url: 'http://a/v2/'}]", `registries[0].probe_url: ` + tls + `"http://a/v2/"`},
		{"probe off as YAML reads it", "registries: [{name: a, file: /a, probe_url: false}]", `registries[0].probe_url: ` + tls + `false`},
		{"host", "registries: [{name: a, file: /a, host: 'https://a'}]", `registries[0].host: expected a host name in lower case, with a port only if that is not 443, found "https://a"`},
		{"CA", "registries: [{name: a, file: /a, ca_file: a.pem}]", `registries[0].ca_file: expected an absolute path, found "a.pem"`},
		{"user for ECR", "registries: [{name: a, file: /a, username_file: /u}]", `registries[0].username_file: expected nothing; the key is for kind basic, found "/u"`},
		{"region for basic", "registries: [{name: a, file: /a, kind: basic, host: b, username_file: /u, password_file: /p, region: eu-west-1}]",
			`registries[0].region: expected nothing; the key is for kind ecr, found "eu-west-1"`},
		{"credential in another folder", "registries: [{name: a, file: /a, kind: basic, host: b, username_file: $CREDENTIALS_DIRECTORY/../u, password_file: /p}]",
			`registries[0].username_file: expected the name of a credential after $CREDENTIALS_DIRECTORY/, found "$CREDENTIALS_DIRECTORY/../u"`},
		{"basic without host", "registries: [{name: a, file: /a, kind: basic, username_file: /u, password_file: /p}]",
			`registries[0].host: expected a value; kind basic requires it, found ""`},
		{"basic without password", "registries: [{name: a, file: /a, kind: basic, host: b, username_file: /u}]",
			`registries[0].password_file: expected a value; kind basic requires it, found ""`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := write(t, test.yaml)
			_, err := config.Load(file, nil, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			if want := "configuration " + file + ": " + test.want; err.Error() != want {
				t.Errorf("got  %s\nwant %s", err, want)
			}
		})
	}
}

func TestRefusesAllAtOnce(t *testing.T) {
	_, err := config.Load(write(t, "interval: 1\nx: 1\nregistries: [{}]"), []string{"TOKENREFRESHER_MARGEN=1s"}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"interval: ", "unknown key x;", "TOKENREFRESHER_MARGEN", "registries[0].name", "registries[0].file"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

func TestFileErrors(t *testing.T) {
	for file, want := range map[string]string{
		"": "expected --config FILE, found none", "/does/not/exist.yaml": "/does/not/exist.yaml", write(t, "a: ["): "yaml",
		write(t, one+"---\ninterval: 1h\n"): "expected one YAML document, found another after it",
		write(t, one+"---\n"):               "expected one YAML document, found another after it",
	} {
		if _, err := config.Load(file, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", file, err, want)
		}
	}
}

func write(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokenrefresher.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
