package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// TestReload: what the table says takes a restart stays, and is named; the rest is
// taken over.
func TestReload(t *testing.T) {
	read := func(file string, environ ...string) Config {
		c, err := Load(file, append(environ, "AUTHSVC_KLOUDLESS_URL=https://api.example/"), pflag.NewFlagSet("", pflag.ContinueOnError))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	several := filepath.Join(t.TempDir(), "authsvc.yaml")
	if err := os.WriteFile(several, []byte("upstreams: [{name: eu, prefixes: [a/: b/], standby: us, requests: 99}, {name: us}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	inForce := read("")
	changed := read(several, "AUTHSVC_LISTEN_ADDRESS=tcp:127.0.0.1:1", "AUTHSVC_LISTEN_MODE=0600", "AUTHSVC_LISTEN_GROUP=a", "AUTHSVC_LISTEN_MAX_REQUESTS=16",
		"AUTHSVC_PRIVATE_ADDRESS=127.0.0.1:2", "AUTHSVC_EXPLAIN_ADDRESS=unix:/a", "AUTHSVC_REALM=a",
		"AUTHSVC_RELEASE_MAX_DIGESTS=1000", "AUTHSVC_RELEASE_FILE=/a", "AUTHSVC_CACHE_FILE=/a", "AUTHSVC_CACHE_KEY_FILE=/a",
		"AUTHSVC_CACHE_TTL=10s", "AUTHSVC_MESSAGES_RENEW=here")
	taken, keys := changed.Reload(inForce)
	var want []string
	for _, s := range Table() {
		if s.Restart {
			want = append(want, s.Key)
		}
	}
	if !slices.Equal(keys, want) {
		t.Errorf("changed: %q, want %q", keys, want)
	}
	if taken.Cache.TTL != changed.Cache.TTL || taken.Renew != "here" || len(taken.Upstreams) != 2 || !reflect.DeepEqual(taken.Upstreams, changed.Upstreams) || taken.Release.Parallel != 99 {
		t.Errorf("not taken over: %+v", taken)
	}
	taken.Cache.TTL, taken.Renew, taken.Upstreams, taken.Release.Parallel = inForce.Cache.TTL, inForce.Renew, inForce.Upstreams, inForce.Release.Parallel
	if !reflect.DeepEqual(taken, inForce) {
		t.Errorf("got  %+v\nwant %+v", taken, inForce)
	}
	if _, keys := read("").Reload(inForce); keys != nil {
		t.Errorf("nothing has changed, but %q", keys)
	}
}
