package config

import (
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"github.com/pullgate/pullgate/authsvc/probe"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// LoadProbe reads the section probe, and nothing else: the user of the made-up pulls
// cannot read what the rest names.
func LoadProbe(file string, environ []string, flags *pflag.FlagSet) (probe.Config, error) {
	r, err := table.Load(settings.Source{Program: "authsvc", File: file, Environ: environ, Flags: flags, Lists: lists})
	if err != nil {
		return probe.Config{}, err
	}
	return readProbe(r), r.Err()
}

// readProbe reads the section probe. Without an url, the rest does not matter.
func readProbe(r *settings.Reader) probe.Config {
	if r.Get("probe.url") == "" {
		for _, key := range []string{"probe.image", "probe.address"} {
			if r.Get(key) != "" {
				r.Wrong("probe.url", "the registry's URL, because "+key+" is set")
			}
		}
		return probe.Config{}
	}
	c := probe.Config{
		URL:            r.Text("probe.url", 1, 512),
		Address:        r.Optional("probe.address", func(key string) string { return r.Address(key, "") }),
		CAFile:         r.Optional("probe.ca_file", r.Path),
		Image:          r.Text("probe.image", 1, 512),
		CredentialFile: r.SecretFile("probe.credential_file"),
		Timeout:        r.Duration("probe.timeout", 100*time.Millisecond, time.Minute),
		ResultFile:     r.Path("probe.result_file"),
	}
	if !validOrigin(c.URL, c.Address) {
		r.Wrong("probe.url", "https://HOST or https://HOST:PORT (http:// only if it or probe.address is a loopback address)")
	}
	if !probe.ValidImage(c.Image) {
		r.Wrong("probe.image", "an image such as vendor/probe:1")
	}
	return c
}

// validOrigin says whether a URL has a scheme and a host alone, and protects the
// credential: TLS, or this machine.
func validOrigin(text, address string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	host := u.Hostname()
	if address != "" {
		host, _, _ = net.SplitHostPort(address) // checked before
	}
	ip, err := netip.ParseAddr(host)
	return u.Scheme == "https" || u.Scheme == "http" && err == nil && ip.IsLoopback()
}
