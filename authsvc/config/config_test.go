package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth/kloudless"
	"github.com/pullgate/pullgate/authsvc/auth/web"
	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/spf13/pflag"
)

// vendor is the only source of a configuration without sources.
func vendor(t *testing.T, c config.Config) kloudless.Config {
	t.Helper()
	if len(c.Sources) != 1 || c.Sources[0].Name != "kloudless" {
		t.Fatalf("sources %+v", c.Sources)
	}
	return c.Sources[0].Settings.(kloudless.Config)
}

func TestDefaultsAreValid(t *testing.T) {
	c, err := config.Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Cache.TTL != time.Minute || c.Listen.Mode != 0o660 || vendor(t, c).PageSize != 100 || vendor(t, c).URL != "" {
		t.Errorf("unexpected defaults: %+v", c)
	}
}

func TestExampleIsValid(t *testing.T) {
	c, err := config.Load("../authsvc.example.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := config.Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// What the example sets for its vendor and the package; all else it shows
	// is the default.
	defaults.Realm, defaults.Renew = c.Realm, c.Renew
	kloudless := vendor(t, defaults)
	kloudless.URL = "https://api.kloudless.com/v1/"
	defaults.Sources[0].Settings = kloudless
	defaults.Listen.Address, defaults.ReleaseFile = "systemd:authsvc", "/var/lib/authsvc/releases"
	defaults.CacheFile, defaults.CacheKeyFile = "/var/lib/authsvc/customers", "/var/lib/authsvc/key"
	if !reflect.DeepEqual(c, defaults) {
		t.Errorf("the example says\n%+v\nthe defaults are\n%+v", c, defaults)
	}
}

func TestLaterWin(t *testing.T) {
	file := write(t, "cache: {ttl: 20s, refusal_ttl: 2s}\nrealm: file\n")
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(flags)
	if err := flags.Parse([]string{"--cache.ttl", "40s", "--cache.max_entries=7", "--kloudless.account.verify_email=true"}); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, []string{"AUTHSVC_CACHE_TTL=30s", "AUTHSVC_REALM=environment", "PATH=/bin"}, flags)
	if err != nil {
		t.Fatal(err)
	}
	if c.Cache.TTL != 40*time.Second || c.Cache.RefusalTTL != 2*time.Second || c.Realm != "environment" ||
		c.Cache.MaxEntries != 7 || !vendor(t, c).Account.VerifyEmail {
		t.Errorf("got %+v", c)
	}
}

func TestList(t *testing.T) {
	want := []string{"acme/a", "acme/b"}
	for name, load := range map[string]func() (config.Config, error){
		"file": func() (config.Config, error) {
			return config.Load(write(t, "catalog: {repositories: [acme/a, acme/b]}"), nil, nil)
		},
		"environment": func() (config.Config, error) {
			return config.Load("", []string{"AUTHSVC_CATALOG_REPOSITORIES=acme/a, acme/b"}, nil)
		},
	} {
		c, err := load()
		if err != nil || !reflect.DeepEqual(c.Repositories, want) {
			t.Errorf("%s: got %q, %v", name, c.Repositories, err)
		}
	}
}

// TestPreset: a preset changes the defaults of a source's keys, and a key that is set
// takes precedence. One number needs no list.
func TestPreset(t *testing.T) {
	c, err := config.Load(write(t, "sources: [{name: a, kind: web, preset: docker_auth, url: 'https://api.example/', method: PUT, refused: {statuses: [200, 401]}}, "+
		"{name: b, kind: web, url: 'https://api.example/', not_mine: {statuses: 404}}]"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	preset, plain := c.Sources[0].Settings.(web.Config), c.Sources[1].Settings.(web.Config)
	if preset.Method != "PUT" || preset.Credential.As != "json" || !slices.Equal(preset.Refused.Statuses, []int{200, 401}) || !slices.Equal(preset.NotMine.Statuses, []int{200}) {
		t.Errorf("the preset gives %+v", preset)
	}
	if plain.Method != "GET" || plain.Credential.As != "bearer" || !slices.Equal(plain.Refused.Statuses, []int{401}) || !slices.Equal(plain.NotMine.Statuses, []int{404}) {
		t.Errorf("without a preset: %+v", plain)
	}
}

// TestRefuses has a bad file for each rule, with the exact message.
func TestRefuses(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"unknown key", "cache: {tll: 3s}", "unknown key cache.tll; authsvc --help lists the known keys"},
		{"unknown section", "caches: {ttl: 3s}", "unknown key caches.ttl; authsvc --help lists the known keys"},
		{"section is a value", "cache: 3s", `cache: expected the keys of a section, found "3s"`},
		{"value is a section", "realm: {a: b}", `realm: expected text of 1 to 128 bytes, found a section`},
		{"bare duration", "cache: {ttl: 60}", `cache.ttl: expected a duration with its unit such as 30s, from 1s to 1h0m0s, found 60`},
		{"duration too short", "cache: {ttl: 0s}", `cache.ttl: expected a duration with its unit such as 30s, from 1s to 1h0m0s, found "0s"`},
		{"duration too long", "cache: {stale_ttl: 48h}", `cache.stale_ttl: expected a duration with its unit such as 30s, from 0s to 24h0m0s, found "48h"`},
		{"number as text", "cache: {max_entries: many}", `cache.max_entries: expected a whole number from 1 to 10000000, found "many"`},
		{"number zero", "cache: {max_entries: 0}", `cache.max_entries: expected a whole number from 1 to 10000000, found 0`},
		{"number as list", "cache: {max_entries: [1]}", `cache.max_entries: expected a whole number from 1 to 10000000, found a list of 1`},
		{"boolean", "kloudless: {account: {verify_email: perhaps}}", `kloudless.account.verify_email: expected true or false, found "perhaps"`},
		{"mode without quotes", "listen: {mode: 0660}", `listen.mode: expected an octal mode in quotes such as "0660", found 0660 without quotes; write "0660"`},
		{"mode not octal", `listen: {mode: "999"}`, `listen.mode: expected an octal mode in quotes such as "0660", found "999"`},
		{"level", "log: {level: loud}", `log.level: expected debug, info, warn or error, found "loud"`},
		{"level as list", "log: {level: [info]}", `log.level: expected debug, info, warn or error, found a list of 1`},
		{"relative path", "upstream: {token_file: token.json}", `upstream.token_file: expected an absolute path, found "token.json"`},
		{"relative socket", "listen: {address: unix:a.sock}", `listen.address: expected unix:/PATH or tcp:HOST:PORT or systemd:NAME, found "unix:a.sock"`},
		{"no scheme", "listen: {address: 127.0.0.1:1}", `listen.address: expected unix:/PATH or tcp:HOST:PORT or systemd:NAME, found "127.0.0.1:1"`},
		{"port", "private: {address: 127.0.0.1:http}", `private.address: expected unix:/PATH or HOST:PORT, found "127.0.0.1:http"`},
		{"quote in the realm", `realm: a"b`, "realm: expected printable ASCII without \" and \\, found \"a\\\"b\""},
		{"key without a value", "cache: {ttl: }\nx: 1", "unknown key x; authsvc --help lists the known keys"},
		{"registry's address", "upstream: {address: tcp:a:1}", `upstream.address: expected HOST:PORT, found "tcp:a:1"`},
		{"name of a repository", "catalog: {repositories: [acme/a, Acme/b]}", `catalog.repositories: expected a list of at most 100000 names of repositories, found a list of 2`},
		{"repositories as a number", "catalog: {repositories: 3}", `catalog.repositories: expected a list of at most 100000 names of repositories, found 3`},
		{"number in the repositories", "catalog: {repositories: [3]}", `catalog.repositories: expected a list of at most 100000 names of repositories, found a list of 1`},
		{"digests", "release: {max_digests: 10}", `release.max_digests: expected a whole number from 1000 to 100000000, found 10`},
		{"statuses", "sources: [{name: a, kind: web, url: 'https://api.example/', refused: {statuses: [401, no]}}]", `sources[0].refused.statuses: expected a list of at most 20 whole numbers from 200 to 599, found a list of 2`},
		{"text in the statuses", "sources: [{name: a, kind: web, url: 'https://api.example/', refused: {statuses: ['401']}}]", `sources[0].refused.statuses: expected a list of at most 20 whole numbers from 200 to 599, found a list of 1`},
		{"status out of range", "sources: [{name: a, kind: web, url: 'https://api.example/', refused: {statuses: 600}}]", `sources[0].refused.statuses: expected a list of at most 20 whole numbers from 200 to 599, found 600`},
		{"empty realm", `realm: ""`, `realm: expected text of 1 to 128 bytes, found ""`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := write(t, test.yaml)
			_, err := config.Load(file, nil, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			got := strings.ReplaceAll(err.Error(), file, "FILE")
			if want := "configuration FILE: " + test.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestSources: entries have the keys of their kind, and their order counts.
func TestSources(t *testing.T) {
	c, err := config.Load(write(t, `
sources:
  - name: old
    kind: kloudless
    users: ["*@Old.example"]
    grants_from: new
    url: https://old.example/
    account:
      verify_email: true
  - {name: new, kind: kloudless, url: "https://new.example/", account: }
`), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Sources) != 2 {
		t.Fatalf("got %+v", c.Sources)
	}
	first, second := c.Sources[0], c.Sources[1]
	if first.Name != "old" || first.Kind != "kloudless" || first.GrantsFrom != "new" || len(first.Users) != 1 || !first.Users[0].Match("ann@old.example") ||
		!first.Settings.(kloudless.Config).Account.VerifyEmail || second.Name != "new" || second.Settings.(kloudless.Config).PageSize != 100 {
		t.Errorf("got %+v", c.Sources)
	}
}

// TestRefusesSources has a bad list for each rule, with the exact message.
func TestRefusesSources(t *testing.T) {
	const good = "{name: a, kind: kloudless, url: 'https://a.example/'}"
	for _, test := range []struct{ name, yaml, want string }{
		{"not a list", "sources: {a: b}", "sources: expected a list of 1 to 16 sources, found a section"},
		{"empty", "sources: []", "sources: expected a list of 1 to 16 sources, found a list of 0"},
		{"entry is a value", "sources: [a]", `sources[0]: expected the keys of a source, found "a"`},
		{"no kind", "sources: [{name: a}]", "sources[0].kind: expected KINDS, found nothing"},
		{"unknown kind", "sources: [{name: a, kind: ldap}]", `sources[0].kind: expected KINDS, found "ldap"`},
		{"no name", "sources: [{kind: kloudless}]", `sources[0].name: expected 1 to 32 of a-z, 0-9, _, . and -, with a letter or digit first, found ""`},
		{"same name", "sources: [" + good + "," + good + "]", `sources[1].name: expected a name that no other source has, found "a"`},
		{"bad pattern", "sources: [{name: a, kind: kloudless, users: ['[']}]", "sources[0].users: expected a list of at most 1000 patterns such as *@vendor.com, found a list of 1"},
		{"value of the kind", "sources: [{name: a, kind: kloudless, page_size: 0}]", "sources[0].page_size: expected a whole number from 1 to 1000, found 0"},
		{"nested value", "sources: [{name: a, kind: kloudless, account: {verify_email: 3}}]", "sources[0].account.verify_email: expected true or false, found 3"},
		{"section is a value", "sources: [{name: a, kind: kloudless, account: 3}]", "unknown key sources[0].account; known keys are KEYS"},
		{"unknown key", "sources: [{name: a, kind: kloudless, dsn: x}]", "unknown key sources[0].dsn; known keys are KEYS"},
		{"grants from nobody", "sources: [{name: a, kind: kloudless, grants_from: b}]", `sources[0].grants_from: expected the name of another source, found "b"`},
		{"grants from itself", "sources: [{name: a, kind: kloudless, grants_from: a}]", `sources[0].grants_from: expected the name of another source, found "a"`},
		{"both forms", "kloudless: {url: 'https://a.example/'}\nsources: [" + good + "]",
			"kloudless.url: expected nothing, because sources is set; move the section into the list, with name: and kind: kloudless"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := write(t, test.yaml)
			_, err := config.Load(file, nil, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			got := strings.TrimPrefix(err.Error(), "configuration "+file+": ")
			var kinds []string
			keys := config.SourceTable().Keys()
			for _, kind := range config.Kinds() {
				if kinds = append(kinds, kind.Name); kind.Name == "kloudless" {
					keys = append(keys, kind.Keys.Keys()...)
				}
			}
			want := strings.NewReplacer("KINDS", strings.Join(kinds, ", "), "KEYS", strings.Join(keys, ", ")).Replace(test.want)
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestRefusesAllAtOnce(t *testing.T) {
	_, err := config.Load(write(t, "cache: {ttl: 1}\nx: 1\n"), []string{"AUTHSVC_CACHE_TLL=1s"}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"cache.ttl", "unknown key x", "AUTHSVC_CACHE_TLL"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

func TestFileErrors(t *testing.T) {
	for _, file := range []string{"/does/not/exist.yaml", write(t, "a: [")} {
		if _, err := config.Load(file, nil, nil); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %v does not name the file", file, err)
		}
	}
}

func write(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authsvc.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
