package web

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
)

// Config is how a web service is asked and its answers are read. Texts named by a jq
// expression hold one; empty for none.
type Config struct {
	// URL is what the customer's secret is sent to: https, or http to a loopback
	// address, with {user} in its path or query. Empty for grants alone.
	URL string
	// Method is GET, POST or PUT.
	Method     string
	Credential Credential
	Service    Service
	// An answer is judged by these in the order NotMine, Refused, Accepted.
	Accepted, Refused, NotMine Rule
	// Reason is a jq expression that gives the service's reason for a refusal.
	Reason   string
	Account  Account
	Licenses Licenses
	// Grants is a jq expression that maps a license to grants, as
	// jq.AppendGrants has them. Empty if another source has the grants.
	Grants string
	// ClientCertificate and ClientKey are PEM files.
	ClientCertificate, ClientKey string
	// CAFile is a PEM file of the authorities to trust; empty for the system's.
	CAFile string
	// Timeout bounds a customer's whole look-up, MaxPages its pages, MaxBytes
	// each answer.
	Timeout            time.Duration
	MaxPages, MaxBytes int
}

// Credential is how a customer's credential is sent.
type Credential struct {
	// As is basic, bearer, header, form or json.
	As string
	// Header is the header's name; UserField and SecretField are the fields of a
	// form or of a JSON object.
	Header, UserField, SecretField string
}

// Service is how authsvc's own credential is sent.
type Service struct {
	// As is basic, client_secret_basic, bearer or header.
	As           string
	User, Header string
	// CredentialFile has the secret; empty for no service credential.
	CredentialFile string
	// ToURL sends it beside the customer's credential.
	ToURL bool
}

// A Rule recognizes answers by their status, and by If, a jq expression that must be
// true of their body. It has the variable $status.
type Rule struct {
	Statuses []int
	If       string
}

// Account has the jq expressions of what an accepted answer says of the account. They
// have the variable $user, what the customer typed, if the service gets it with the
// secret.
type Account struct{ Subject, User, Ends string }

// Licenses tell where an account's licenses are.
type Licenses struct {
	// URL is asked for them, with {user} and {subject}; empty if they are in the
	// answer that accepts the customer.
	URL string
	// Credential is sent there: the customer's, or the service's.
	Credential string
	// Items is a jq expression that gives an answer's array of licenses.
	Items string
	// Next is a jq expression that gives the next page: a number or a cursor for
	// the query parameter Parameter; if that is empty, a URL. It has the
	// variables $link, $page and $count.
	Next, Parameter string
	// NoneStatuses mean that the account has no licenses, EndStatuses that the
	// page before was the last one.
	NoneStatuses, EndStatuses []int
}

// The values of Licenses.Credential.
const (
	ofCustomer = "customer"
	ofService  = "service"
)

// New implements auth.Settings.
func (c Config) New(_ context.Context, env auth.Environment) (auth.Made, error) {
	s, err := New(c, env)
	if err != nil {
		return auth.Made{}, err
	}
	made := auth.Made{Licensed: s.check != nil && s.grantsOf != nil, Check: s.Check}
	if s.check != nil {
		made.Source = s
	}
	if s.licenses != nil && s.licenses.credential == nil {
		made.Licenses = s
	}
	if s.grantsOf != nil {
		made.Try = s.Try
	}
	return made, nil
}

// New checks the configuration and returns a Source. It asks nothing. Its errors
// begin with the name of the setting.
func New(c Config, env auth.Environment) (*Source, error) {
	judge, err := newJudge(c)
	if err != nil {
		return nil, err
	}
	s := &Source{config: c, judge: judge, fault: env.Fault}
	if s.fault == nil {
		s.fault = func(string, error) {}
	}
	for _, make := range []func() error{s.makeCheck, s.makeLicenses, s.compileAll} {
		if err := make(); err != nil {
			return nil, err
		}
	}
	if s.client, err = newClient(c, env.Observe); err != nil {
		return nil, err
	}
	if c.Service.CredentialFile != "" {
		_, err := c.Service.read()
		s.fault("service credential", err)
	}
	return s, nil
}

// makeCheck makes what the customer's credential is sent to.
func (s *Source) makeCheck() error {
	c := s.config
	if err := c.Service.check(); err != nil {
		return err
	}
	if c.Service.CredentialFile != "" && !c.Service.ToURL && c.Licenses.Credential != ofService {
		return errors.New("service.credential_file: expected service.to_url: true or licenses.credential: service, found neither: the credential would be sent nowhere")
	}
	if c.URL == "" {
		if c.Licenses.URL == "" || c.Licenses.Credential != ofService {
			return errors.New("url: expected the URL that checks a customer's credential, found nothing; for a source that is asked for grants alone, set licenses.url and licenses.credential: service")
		}
		return nil
	}
	url, err := parseTemplate(c.URL)
	switch {
	case err != nil:
		return fmt.Errorf("url: %w", err)
	case url.has("{subject}"):
		return errors.New("url: expected {user} at most, found {subject}, which is known after the answer only")
	}
	if err := c.Credential.check(c.Method); err != nil {
		return err
	}
	s.check = &endpoint{url: url, method: c.Method, judge: s.judge, credential: &c.Credential}
	if s.check.service = c.Service.ToURL && c.Service.CredentialFile != ""; s.check.service && c.Service.header() == c.Credential.header() {
		return fmt.Errorf("service.to_url: expected false, because the customer's credential is in the header %s, too", c.Service.header())
	}
	return nil
}

// makeLicenses makes what the licenses are asked from.
func (s *Source) makeLicenses() error {
	c := s.config.Licenses
	switch {
	case (c.URL != "" || s.check == nil) && s.config.Grants == "":
		return errors.New("grants: expected a jq expression, because licenses.url is set, found nothing")
	case c.URL == "":
		return nil
	}
	url, err := parseTemplate(c.URL)
	byUser, bySubject := url.has("{user}"), url.has("{subject}")
	switch {
	case err != nil:
		return fmt.Errorf("licenses.url: %w", err)
	case s.check != nil && byUser && s.config.Account.User == "":
		return errors.New("account.user: expected a jq expression, because licenses.url names {user}: what was merely typed gives nobody a right")
	case s.check != nil && bySubject && s.config.Account.Subject == "" && s.config.Account.User == "":
		return errors.New("account.subject: expected a jq expression, because licenses.url names {subject}, found nothing")
	case c.Credential == ofCustomer && s.check != nil && s.config.Credential.inBody():
		return fmt.Errorf("licenses.credential: expected service, because a customer's credential in a %s can be sent to url only", s.config.Credential.As)
	case c.Credential == ofService && !byUser && !bySubject:
		return errors.New("licenses.url: expected {user} or {subject}, because licenses.credential is service, found neither: everybody would have the same licenses")
	}
	s.licenses = &endpoint{url: url, method: "GET", judge: s.judge, credential: &s.config.Credential}
	if c.Credential == ofService {
		s.licenses.judge, s.licenses.credential, s.licenses.service = plain, nil, s.config.Service.CredentialFile != ""
	}
	return nil
}

// compileAll compiles the expressions.
func (s *Source) compileAll() error {
	c := s.config
	var typed []string
	if s.check != nil && s.sendsUser() {
		typed = []string{"$user"}
	}
	for _, e := range []struct {
		key, source string
		variables   []string
		to          **jq.Expression
	}{
		{"refused.reason", c.Reason, []string{"$status"}, &s.reasonOf},
		{"account.subject", c.Account.Subject, typed, &s.subjectOf},
		{"account.user", c.Account.User, typed, &s.userOf},
		{"account.ends", c.Account.Ends, typed, &s.endsOf},
		{"licenses.items", c.Licenses.Items, nil, &s.itemsOf},
		{"licenses.next", c.Licenses.Next, []string{"$link", "$page", "$count"}, &s.nextOf},
		{"grants", c.Grants, nil, &s.grantsOf},
	} {
		var err error
		if *e.to, err = compile(e.key, e.source, e.variables...); err != nil {
			return err
		}
	}
	if s.grantsOf != nil && s.itemsOf == nil {
		return errors.New("licenses.items: expected a jq expression, found nothing")
	}
	if overlap := slices.IndexFunc(c.Licenses.NoneStatuses, func(status int) bool { return status == 200 }); overlap >= 0 {
		return errors.New("licenses.none_statuses: expected another status than 200")
	}
	return nil
}
