package web_test

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// example is the source of a file of authsvc/examples, at SERVICE instead of host.
func example(t *testing.T, name, host string) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Sources []map[string]any }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	source := file.Sources[0]
	delete(source, "name")
	delete(source, "kind")
	if text, err = yaml.Marshal(source); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(host, "SERVICE", "$CREDENTIALS_DIRECTORY/", "DIR/").Replace(string(text))
}

// TestExamples: the examples of the presets read the answers that they quote.
func TestExamples(t *testing.T) {
	w := serve(t, dockerAuth(t), example(t, "docker_auth.yaml", "https://auth.vendor.com"))
	if decision, err := ask(t, w, ann); told(t, decision, err) != "accepted" || repositories(decision.Grants) != "acme/appliance acme/tools" {
		t.Errorf("docker_auth.yaml: %+v, %v", decision, err)
	}
	w = serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, secret, _ := r.BasicAuth()
		if text, _ := io.ReadAll(r.Body); user != "authsvc" || secret != "x" || string(text) != "token="+ann.Secret.Reveal() {
			t.Errorf("%s with %s", user, text)
		}
		say(w, 200, `{"active": true, "sub": "7", "scope": "openid pull:acme/appliance pull:acme/tools"}`)
	}, example(t, "introspection.yaml", "https://login.vendor.com"), map[string]string{"client-secret": "x\n"})
	if decision, err := ask(t, w, ann); told(t, decision, err) != "accepted" || repositories(decision.Grants) != "acme/appliance acme/tools" || decision.Subject != "7" {
		t.Errorf("introspection.yaml: %+v, %v", decision, err)
	}
}
