package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestCheck: what `check-config --online` says of a service, which is asked about
// nobody and must refuse.
func TestCheck(t *testing.T) {
	const check = "url: SERVICE/check/{user}\ncredential: {as: basic}\nrefused: {statuses: [401, 403], if: has(\"code\")}\nnot_mine: {statuses: 404}\n"
	tests := []struct {
		name, config string
		status       int
		body, want   string
	}{
		{"it refuses", check, 401, `{"code": 1}`, ""},
		{"it does not know nobody", check, 404, `{}`, ""},
		{"it accepts anybody", check, 200, `{}`, "url: expected the service to refuse the invented user check-config@example.invalid, found it accepted: anybody could log in"},
		{"a firewall", check, 403, `<html>` + hidden, "a firewall or proxy in front of the service?"},
		{"another status", check, 500, hidden, "expected status 200, found 500"},
		{"its licenses", forGrants, 200, `{"items": []}`, ""},
		{"no licenses", forGrants, 404, `{}`, ""},
		{"a 404 that is not configured", strings.Replace(forGrants, ", none_statuses: 404", "", 1), 404, `{}`, "add it to licenses.none_statuses"},
		{"the service credential", forGrants, 401, `{}`, "licenses.url: expected status 200, found 401; does the service accept the credential in service.credential_file?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if user, _, ok := r.BasicAuth(); ok && !strings.HasSuffix(user, "@example.invalid") {
					t.Errorf("asked about %s", user)
				}
				say(w, test.status, test.body)
			}, test.config, map[string]string{"key": "key-" + hidden})
			err := w.Check(t.Context())
			if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), hidden)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	made, err := read(t, nil, "url: "+closed.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v, want that nothing listens", err)
	}
}
