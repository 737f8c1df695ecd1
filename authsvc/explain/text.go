package explain

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// A page is lines of a name and what is found under it.
type page struct{ w *tabwriter.Writer }

func newPage(w io.Writer) page { return page{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// line adds a line. What others wrote, such as a source's reason, must not control
// the operator's terminal.
func (p page) line(name string, cells ...string) {
	for i, cell := range cells {
		cells[i] = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, cell)
	}
	_, _ = fmt.Fprintln(p.w, strings.TrimRight(name+"\t"+strings.Join(cells, "\t"), "\t")) // Flush has the error
}

// Print prints an explanation for a terminal.
func (e Explanation) Print(w io.Writer) error {
	p := newPage(w)
	p.line("result", string(e.Result))
	what := ""
	if e.Request != nil {
		what = ": " + strings.Join(strings.Fields(e.Request.Kind+" "+e.Request.Repository+" "+e.Request.Tag+e.Request.Digest), " ")
	}
	p.line("request", "GET "+e.Path+what)
	if e.Credential != nil {
		e.Credential.print(p)
	}
	if e.Licenses != nil {
		e.Licenses.print(p, e.Request)
	}
	if e.Request != nil && e.Request.Digest != "" && e.Licenses != nil {
		p.line("tag", cmp.Or(e.Tag, "no licensed tag is known to lead to this digest"))
	}
	if e.Stale {
		p.line("stale", "the registry fails, and what it said last has decided; it holds until release.stale has passed")
	}
	if e.Route != nil {
		p.line("upstream", e.Route.String())
	}
	host := ""
	if e.Token != nil {
		p.line("token", e.Token.String())
		host = e.Token.Registry
	}
	if e.Registry != nil {
		p.line("registry", e.Registry.text(host))
	}
	printDegraded(p, e.Degraded)
	for _, s := range e.Steps {
		p.line("step", fmt.Sprintf("%s: %s, %.1f ms", s.Step, s.Result, s.Milliseconds)+before("; ", s.Reason))
	}
	if e.Result != Unknown {
		p.line("answer", e.Answer.String())
	}
	p.line("next", e.Next)
	return p.w.Flush()
}

func (c *Credential) print(p page) {
	switch {
	case !c.Accepted:
		p.line("credential", "not accepted")
	case !c.TokenGiven:
		p.line("credential", c.Subject+"; not checked, because the token was not given")
	case c.Confirmed:
		p.line("credential", "accepted: "+c.Subject)
	default:
		p.line("credential", "accepted: "+c.Subject+"; the source does not confirm the user")
	}
	for _, s := range c.Sources {
		p.line("", cmp.Or(s.Source, "source")+": "+s.String())
	}
}

// String says what one source said.
func (s Consult) String() string {
	text := map[string]string{
		"cache":    fmt.Sprintf("cached %s ago", time.Duration(s.AgeSeconds)*time.Second),
		"asked":    fmt.Sprintf("asked now, %.1f ms", s.Milliseconds),
		"licenses": fmt.Sprintf("told the licenses without the token, %.1f ms", s.Milliseconds),
	}[s.How]
	if s.Cache == "stale" {
		text += ", older than cache.ttl; the source would be asked, and this used if it does not answer"
	}
	if s.Credentials > 1 {
		text += fmt.Sprintf("; the latest of %d credentials", s.Credentials)
	}
	return text + before("; refused: ", s.Refusal) + before(", the token belongs to ", s.Account) + before("; no answer: ", s.Error)
}

func (l *Licenses) print(p page, r *Request) {
	p.line("licenses", fmt.Sprint(l.Total)+left(l.Total-len(l.Shown)))
	for _, license := range l.Shown {
		match := ""
		if r != nil && r.Repository != "" {
			match = license.match()
		}
		p.line("", license.License, license.Repository+":"+license.Tags, license.end(), match)
	}
}

func (l License) end() string {
	switch {
	case l.Withdrawn:
		return "withdrawn"
	case l.Expires.IsZero():
		return "never ends"
	case l.InForce:
		return "until " + stamp(l.Expires)
	}
	return "expired " + stamp(l.Expires)
}

func (l License) match() string {
	switch {
	case l.MatchesTag && l.InForce:
		return "opens it"
	case l.MatchesTag:
		return "opened it"
	case l.MatchesRepository:
		return "matches the repository, not the tag"
	}
	return "matches another repository"
}

// String says which registry it is.
func (r *Route) String() string {
	text := r.Upstream + before(", where the repository is ", r.Repository)
	if r.Standby {
		text += ", standing in for the registry, which fails"
	}
	return text
}

// String says what the state of the token is.
func (t *Token) String() string {
	if t.Error != "" {
		return "none: " + t.Error
	}
	expires := "never expires"
	if !t.ExpiresAt.IsZero() {
		expires = "expires " + stamp(t.ExpiresAt)
	}
	return fmt.Sprintf("for %s, fetched %s, %s", t.Registry, stamp(t.FetchedAt), expires)
}

func (r *Registry) text(host string) string {
	found := "the tag is " + r.Digest
	switch {
	case r.Missing:
		found = "it has no such tag"
	case r.Error != "":
		found = "no answer: " + r.Error
	}
	return fmt.Sprintf("%s: %s (%.1f ms)", cmp.Or(host, "the registry"), found, r.Milliseconds)
}

// String is the answer as docker shows it.
func (a Answer) String() string {
	if a.Code == "" {
		return fmt.Sprint(a.Status)
	}
	text := fmt.Sprintf("%d %s: %s", a.Status, a.Code, a.Message)
	if a.RetryAfter > 0 {
		text += fmt.Sprintf(" (Retry-After: %d)", a.RetryAfter)
	}
	return text
}

// Print prints an account for a terminal.
func (a Account) Print(w io.Writer) error {
	p := newPage(w)
	p.line("user", a.User)
	if a.Credential != nil {
		a.Credential.print(p)
	}
	if a.Licenses != nil {
		a.Licenses.print(p, nil)
	}
	for _, r := range a.Repositories {
		tags := strings.Join(r.Tags, " ") + left(r.MoreTags)
		switch {
		case r.Missing:
			tags = "the registry does not have it"
		case r.Error != "":
			tags = "no answer: " + r.Error
		case len(r.Tags) == 0:
			tags = "no tag of it is licensed"
		}
		p.line("opens", r.Repository+": "+tags)
	}
	if a.MoreRepositories > 0 {
		p.line("", fmt.Sprintf("%d more repositories", a.MoreRepositories))
	}
	printDegraded(p, a.Degraded)
	if a.Reason != "" {
		p.line(string(a.Result), a.Reason)
	}
	return p.w.Flush()
}

func printDegraded(p page, troubles []string) {
	for _, text := range troubles {
		p.line("degraded", text)
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// before puts something before a text, if there is any.
func before(what, text string) string {
	if text == "" {
		return ""
	}
	return what + text
}

// left says how many were left out.
func left(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}
