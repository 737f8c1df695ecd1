package origin

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// regionPattern is how AWS names a region.
var regionPattern = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$`)

// ValidRegion says whether s can be a region, such as eu-west-1.
func ValidRegion(s string) bool { return regionPattern.MatchString(s) }

// hostPattern: a name of labels, in lower case, and optionally a port.
var hostPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[1-9][0-9]{0,4})?$`)

// ValidHost says whether s is HOST or HOST:PORT in lower case.
func ValidHost(s string) bool { return len(s) <= 255 && hostPattern.MatchString(s) }

// S3Hosts are the hosts of the bucket in which ECR keeps the layers of a region,
// in each form of S3's names.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html (ECR's bucket)
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
func S3Hosts(region string) []string {
	bucket := "prod-" + region + "-starport-layer-bucket"
	domain := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	var hosts []string
	for _, service := range []string{"s3." + region, "s3-" + region, "s3.dualstack." + region, "s3-fips." + region, "s3-fips.dualstack." + region} {
		hosts = append(hosts, bucket+"."+service+"."+domain)
	}
	if region == "us-east-1" {
		hosts = append(hosts, bucket+".s3.amazonaws.com")
	}
	return hosts
}

// withPort adds the port of HTTPS to a host without one.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, "443")
}

// ErrRedirect means that a redirect leads where the store does not go.
var ErrRedirect = errors.New("the redirect is refused")

// location checks where a redirect from a URL leads: to another host, which is on
// the list, over TLS.
func (c *Client) location(from *url.URL, text string) (*url.URL, error) {
	if len(text) > 16<<10 {
		return nil, fmt.Errorf("%w: its Location is too long", ErrRedirect)
	}
	to, err := url.Parse(text)
	if err != nil {
		// the parser's error has the whole URL, and so its signature
		return nil, fmt.Errorf("%w: its Location is no URL", ErrRedirect)
	}
	switch to = from.ResolveReference(to); {
	case to.Scheme != "https":
		return nil, fmt.Errorf("%w: expected https, found %.20q", ErrRedirect, to.Scheme)
	case to.User != nil:
		return nil, fmt.Errorf("%w: it names a user", ErrRedirect)
	case !ValidHost(to.Host) || !c.mayRedirect(to.Host):
		return nil, fmt.Errorf("%w: %.100q is not on the list of hosts", ErrRedirect, to.Host)
	}
	to.Fragment = ""
	return to, nil
}

// mayRedirect says whether a host is on the list. A registry never is: a request
// must not go back and forth.
func (c *Client) mayRedirect(host string) bool {
	host = withPort(host)
	same := func(other string) bool { return withPort(other) == host }
	for _, u := range c.o.Upstreams {
		if same(u.Host) {
			return false
		}
	}
	return slices.ContainsFunc(c.o.Redirects, same)
}
