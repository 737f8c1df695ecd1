package web

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds a user or a subject in a URL or a credential, in bytes. It is as
// long as what a service may confirm (package jq).
const maxName = 255

// errUnsendable and errUnsendableSecret: the name or the secret can be no part of a
// request, so the service is not asked.
var (
	errUnsendable       = errors.New("the name cannot be sent to the service")
	errUnsendableSecret = errors.New("the secret cannot be sent to the service")
)

// names are what stands for {user} and {subject}.
type names struct{ user, subject string }

// A template is a URL with the placeholders {user} and {subject} in its path or
// query.
type template struct {
	path, query string // with placeholders; path begins with the scheme and the host
	origin      *url.URL
}

// parseTemplate checks that secrets sent to a URL cannot be read on their way, and
// that no placeholder leads to another host.
func parseTemplate(text string) (template, error) {
	u, err := url.Parse(text)
	if err != nil {
		return template{}, errors.New("expected a URL such as https://api.example.com/v1/check")
	}
	if err := CheckSecure(u); err != nil {
		return template{}, err
	}
	path, query, _ := strings.Cut(text, "?")
	t := template{path: path, query: query, origin: &url.URL{Scheme: u.Scheme, Host: u.Host}}
	if strings.ContainsAny(u.Host, "{}") || strings.ContainsAny(t.expandWith("", ""), "{}") {
		return template{}, errors.New("expected no braces but {user} and {subject} in the path or the query")
	}
	return t, nil
}

// CheckSecure checks that secrets sent to a URL cannot be read on their way: https,
// or http to a loopback address.
func CheckSecure(u *url.URL) error {
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return errors.New("expected a URL with a host, and without user and fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !local):
		return fmt.Errorf("expected https, found %s: secrets are sent there (http is allowed for loopback addresses only)", u.Scheme)
	}
	return nil
}

func (t template) has(placeholder string) bool {
	return strings.Contains(t.path, placeholder) || strings.Contains(t.query, placeholder)
}

// expand puts names into the URL, escaped: each stays within its path segment or
// query value. Names that cannot be are errUnsendable.
func (t template) expand(n names) (*url.URL, error) {
	for placeholder, name := range map[string]string{"{user}": n.user, "{subject}": n.subject} {
		if t.has(placeholder) && !canBeNamed(name) {
			return nil, errUnsendable
		}
	}
	u, err := url.Parse(t.expandWith(n.user, n.subject))
	if err != nil {
		return nil, errUnsendable // without the URL, which holds a name
	}
	return u, nil
}

func (t template) expandWith(user, subject string) string {
	path := strings.NewReplacer("{user}", url.PathEscape(user), "{subject}", url.PathEscape(subject)).Replace(t.path)
	if t.query == "" {
		return path
	}
	return path + "?" + strings.NewReplacer("{user}", url.QueryEscape(user), "{subject}", url.QueryEscape(subject)).Replace(t.query)
}

// canBeNamed says whether a name can be in a URL. Escaping does not help against
// "..": a proxy on the way may unescape the path, and then leave the folder.
func canBeNamed(name string) bool {
	return name != "." && !strings.Contains(name, "..") && canBeSent(name)
}

// canBeSent says whether a name can be in a request: UTF-8 without control
// characters, and not empty or too long.
func canBeSent(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// follow resolves the URL of a next page. Another origin would get the secrets.
func (t template) follow(current *url.URL, next string) (*url.URL, error) {
	u, err := current.Parse(next)
	if err != nil || u.Scheme != t.origin.Scheme || u.Host != t.origin.Host || u.User != nil {
		return nil, fmt.Errorf("expected the URL of a next page at %s, found another", t.origin)
	}
	u.Fragment = ""
	return u, nil
}
