package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// leaks are texts that only the inside knows: the registries' accounts, their errors,
// their tokens ("AWS:" in base64), and a name that none of the customers' requests has;
// and the customer's credential.
var leaks = []string{strings.TrimSuffix(unspoken, "/"), "123456789012", "210987654321", "345678901234", "arn:aws", "ecr.amazonaws.com", ".dkr.ecr.", "AmazonECR", "registry-pull", "QVdTO", secret, strings.TrimPrefix(authorization(), "Basic ")}

// hidden are headers between nginx, authsvc, and the registry, by prefix.
var hidden = []string{"X-Amz", "X-Ecr", "X-Auth", "X-Registry", "X-Upstream", "X-Original", "Via"}

// An expectation is what an exchange may be answered with.
type expectation struct {
	*world
	leaks []string
	// troubled: behind nginx, not everything is as it should be.
	troubled bool
}

// expect says what an exchange may be answered with. What it says itself, a refusal may
// repeat.
func (w *world) expect(x exchange) expectation {
	e := expectation{world: w, leaks: leaks}
	text := strings.ToLower(x.all())
	e.troubled = strings.Contains(text, strings.ToLower(behaviorHeader)) || strings.Contains(text, fakePrefix)
	for _, name := range guessed {
		if !strings.Contains(text, name) {
			e.leaks = append(e.leaks[:len(e.leaks):len(e.leaks)], name)
		}
	}
	return e
}

// check returns what is wrong with an answer that a client read, whatever it asked.
// For a redirect see location.
func (w expectation) check(a answer) error {
	if err := w.checkHeader(a); err != nil {
		return err
	}
	for _, form := range marks {
		if bytes.Contains(a.body, form) {
			return fmt.Errorf("forbidden content came back: %.200q", a.body)
		}
	}
	if a.doubtful {
		return nil
	}
	switch a.status {
	case http.StatusOK, http.StatusPartialContent:
		return w.checkContent(a)
	case http.StatusNotModified, http.StatusTemporaryRedirect:
		if len(a.body) > 0 {
			return fmt.Errorf("status %d with a body: %.200q", a.status, a.body)
		}
		return nil
	case 0, 400, 401, 403, 404, 405, 412, 416, 429, 501:
		return w.checkRefusal(a)
	case http.StatusServiceUnavailable:
		if w.troubled && (a.header.Get("Retry-After") != "") {
			return w.checkRefusal(a)
		}
	}
	return fmt.Errorf("status %d is no answer to any request: %.200q", a.status, a.body)
}

func (w expectation) checkHeader(a answer) error {
	for name, values := range a.header {
		if slices.ContainsFunc(hidden, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return fmt.Errorf("the answer shows %s: %.200q", name, values)
		}
		// The URL that S3 has signed is the one place with the account.
		signed := a.status == http.StatusTemporaryRedirect && name == "Location"
		for _, value := range values {
			if text := w.leak(value); text != "" && !signed || strings.Contains(value, mark) {
				return fmt.Errorf("the answer's header %s holds %q: %.200q", name, text, value)
			}
		}
	}
	if server := a.header.Values("Server"); a.status != 0 && !slices.Equal(server, []string{"nginx"}) {
		return fmt.Errorf("the answer shows Server %q", server)
	}
	return nil
}

func (w expectation) leak(text string) string {
	for _, leak := range w.leaks {
		if strings.Contains(text, leak) {
			return leak
		}
	}
	return ""
}

// checkRefusal: a refusal is the registry's JSON. The answer to a HEAD is empty.
func (w expectation) checkRefusal(a answer) error {
	if text := w.leak(string(a.body)); text != "" {
		return fmt.Errorf("the refusal holds %q: %.300q", text, a.body)
	}
	if a.status != 0 {
		if got := a.header.Values("Content-Type"); !slices.Equal(got, []string{"application/json"}) {
			return fmt.Errorf("status %d has Content-Type %q, not the registry's JSON: %.200q", a.status, got, a.body)
		}
		if got := a.header.Values("Docker-Distribution-Api-Version"); !slices.Equal(got, []string{"registry/2.0"}) {
			return fmt.Errorf("status %d has Docker-Distribution-Api-Version %q", a.status, got)
		}
		// A 401 whose request has a malformed body becomes a 400, and keeps it.
		got := a.header.Values("Www-Authenticate")
		if challenged := len(got) == 1 && strings.HasPrefix(got[0], `Basic realm="`); !challenged && (len(got) > 0 || a.status == 401) || challenged && a.status != 401 && a.status != 400 {
			return fmt.Errorf("status %d has WWW-Authenticate %q", a.status, got)
		}
		if len(a.body) == 0 {
			return nil
		}
	}
	var object struct {
		Errors []struct {
			Code, Message string
			Detail        *string
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&object); err != nil || len(object.Errors) != 1 || object.Errors[0].Code == "" || object.Errors[0].Message == "" {
		return fmt.Errorf("status %d is not the registry's JSON: %.200q", a.status, a.body)
	}
	return nil
}

// emptyLayer stands for a step without a layer in a manifest of schema 1.
const emptyLayer = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"

// checkContent: what is served is licensed.
func (w *world) checkContent(a answer) error {
	if len(a.body) == 0 || string(a.body) == "{}" { // to a HEAD; to docker login
		return nil
	}
	if a.status == http.StatusPartialContent {
		for _, manifest := range w.manifests {
			if bytes.Contains(manifest, a.body) {
				return nil
			}
		}
	}
	if w.manifests[digestOf(a.body)] != nil {
		return nil
	}
	var list struct {
		Name               string
		Tags, Repositories []string
		SchemaVersion      int
		MediaType          string
		Manifests          []any
		// A manifest that the registry has converted to schema 1.
		Tag, Architecture   string
		FsLayers            []struct{ BlobSum string }
		History, Signatures []any
	}
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil || len(list.Manifests) > 0 {
		return fmt.Errorf("the answer is nothing that is licensed: %.200q", a.body)
	}
	for _, layer := range list.FsLayers {
		if !w.blobs[layer.BlobSum] && layer.BlobSum != emptyLayer {
			return fmt.Errorf("a manifest with layer %s came back, which is not licensed", layer.BlobSum)
		}
	}
	if list.Tag != "" {
		list.Tags = append(list.Tags, list.Tag)
	}
	if list.Name != "" && w.repositories[list.Name] == nil {
		return fmt.Errorf("a list of %s came back: %.200q", list.Name, a.body)
	}
	for _, tag := range list.Tags {
		if !licensedTag.MatchString(tag) {
			return fmt.Errorf("the list has tag %s, which is not licensed", tag)
		}
	}
	for _, repository := range list.Repositories {
		if w.repositories[repository] == nil {
			return fmt.Errorf("the list has repository %s, which is not licensed", repository)
		}
	}
	return nil
}
