package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// behaviorHeader is a client's, which nginx passes on: how registries shall answer it,
// such as "eu 503, us link". So an exchange says by itself what happens behind nginx.
const behaviorHeader = "X-Proof-Behavior"

// A behavior is an answer of a registry other than its usual one. All that is in it
// names the registry, the account, or the registry's name for the repository.
type behavior struct {
	fails   bool // so that the stand-by is asked
	rejects bool // the token, so that authsvc is asked again
	serve   func(w http.ResponseWriter, r *http.Request, itself string)
}

const reset = "reset"

// behaviors are all, by name.
var behaviors = allBehaviors()

func allBehaviors() map[string]behavior {
	all := map[string]behavior{
		reset:       {fails: true, serve: func(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) }},
		"challenge": {rejects: true, serve: challenge},
		"headers":   {serve: withHeaders},
	}
	for _, status := range []int{500, 501, 502, 503, 504, 508, 520, 530} {
		all[fmt.Sprint(status)] = behavior{fails: true, serve: refuse(status)}
	}
	for _, status := range []int{400, 402, 403, 404, 405, 410, 416, 418, 429, 451, 555} { // a 555 is nothing that nginx knows
		all[fmt.Sprint(status)] = behavior{rejects: status == 403, serve: refuse(status)}
	}
	for name, to := range map[string]string{
		"link": `<https://{host}{path}?last=x>; rel="next"`, "link-relative": `<{path}?last=x>; rel="next"`, "link-bare": `<{path}>; rel="next"`, "link-two": `<{path}>; rel="prev", <{path}?last=x>; rel="next"`,
		"link-odd": `{path}; rel=next`, "link-elsewhere": `<https://evil.example{path}?last=x>; rel=next`,
	} {
		all[name] = behavior{serve: withHeader(http.StatusOK, "Link", to)}
	}
	for name, to := range map[string]string{
		"": "https://{host}{path}", "-upper": "HTTPS://{HOST}{path}", "-port": "https://{host}:443{path}", "-dot": "https://{host}.{path}", "-user": "https://x@{host}{path}", "-query": "https://{host}?{path}",
		"-fragment": "https://{host}#{path}", "-plain": "http://{host}{path}", "-relative": "{path}", "-slashes": "//{host}{path}", "-pipe": "|https://{host}{path}", "-two": "x|https://{host}{path}", "-space": " https://{host}{path}",
		"-backslash": `https:\\{host}{path}`, "-empty": "", "-other": "ftp://{host}{path}",
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			all[fmt.Sprint(status, name)] = behavior{serve: withHeader(status, "Location", to)}
		}
	}
	return all
}

// behaviorNames are all, in a fixed order.
var behaviorNames = slices.Sorted(maps.Keys(behaviors))

// behaviorOf is what a client wants of a registry; empty for the usual.
func behaviorOf(registry string, h http.Header) string {
	for entry := range strings.SplitSeq(strings.Join(h.Values(behaviorHeader), ","), ",") {
		to, name, _ := strings.Cut(strings.TrimSpace(entry), " ")
		if _, ok := behaviors[name]; ok && to == registry {
			return name
		}
	}
	return ""
}

// text names all that must not come back.
func text(r *http.Request, itself string) string {
	return fmt.Sprintf("%s %s arn:aws:ecr:x:123456789012:repository%s", itself, r.RequestURI, r.RequestURI)
}

func refuse(status int) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, r *http.Request, itself string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q}]}`, text(r, itself))
	}
}

func challenge(w http.ResponseWriter, r *http.Request, itself string) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",scope="repository:%s:pull"`, itself, r.RequestURI))
	refuse(http.StatusUnauthorized)(w, r, itself)
}

// withHeaders answers with what a licensed one may see, and headers that it may not.
func withHeaders(w http.ResponseWriter, r *http.Request, itself string) {
	for _, name := range []string{
		"Content-Location", "Warning", "Link", "Location", "Www-Authenticate", "Set-Cookie", "Via", "Refresh", "Alt-Svc", "X-Ecr-Path", "X-Ecr-Registry", "X-Ecr-Standby", "X-Ecr-Token-Id", "X-Ecr-Authorization",
		"X-Auth-Subject", "X-Registry-Status", "X-Amzn-Requestid", "X-Accel-Redirect", "X-Accel-Buffering", "Server", "Docker-Distribution-Api-Version", "X-Request-Id",
	} {
		w.Header().Set(name, text(r, itself))
	}
	serveNothing(w, r)
}

// withHeader answers with one header, and the text in the body if that is a redirect's,
// as Go's own http.Redirect does.
func withHeader(status int, name, value string) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, r *http.Request, itself string) {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		w.Header().Set(name, strings.NewReplacer("{host}", itself, "{HOST}", strings.ToUpper(itself), "{path}", path).Replace(value))
		if status == http.StatusOK {
			serveNothing(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<a href=%q>here</a>", text(r, itself))
	}
}

// serveNothing answers with what everybody may see.
func serveNothing(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprint(w, "{}")
}

// behave makes a registry's stand-in do what was decided about a request.
func (o *oracle) behave(registry string) standin.Fault {
	return standin.Fault{
		Match: func(r *http.Request) bool { return o.decided(r).serve != nil },
		Serve: func(w http.ResponseWriter, r *http.Request) { o.decided(r).serve(w, r, hostOf(registry)) },
	}
}

// decided is what receive has decided about a request. What authsvc did not allow itself
// gets nothing from the registry.
func (o *oracle) decided(r *http.Request) (b behavior) {
	t, ok := o.trails.Get(r.Header.Get(idHeader))
	if !ok {
		return b
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b = behaviors[t.last().behavior]
	if b.serve == nil && t.faked > 0 {
		b.serve = func(w http.ResponseWriter, r *http.Request, _ string) { serveNothing(w, r) }
	}
	return b
}
