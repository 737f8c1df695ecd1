package stack_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pullgate/pullgate/nginx/stack"
)

// The front's rules with the real registry behind it, where the in-memory one of
// the unit tests behaves differently.
func TestFrontBeforeTheRealRegistry(t *testing.T) {
	s := start(t, stack.Options{})
	img, _ := push(t, s)
	var tags []string
	for i := range 3 {
		tag := fmt.Sprintf("2.%d", i)
		if _, err := s.Push(t.Context(), "acme/appliance:"+tag, img); err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	issued, _ := s.ECR.IssueToken()
	transport := s.Transport()
	transport.TLSClientConfig.ServerName = s.ECR.Name()
	defer transport.CloseIdleConnections()
	ask := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.ECR.Front.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = s.ECR.Host()
		req.Header.Set("Authorization", "Basic "+issued)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // read to its end
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, body := ask("/v2/acme/nothing/blobs/" + layer.String()); status != 404 || !strings.Contains(body, "NAME_UNKNOWN") {
		t.Errorf("a blob of another repository: %d %s", status, body)
	}
	if status, body := ask("/v2/acme/nothing/manifests/1.0"); status != 404 || !strings.Contains(body, "NAME_UNKNOWN") {
		t.Errorf("a manifest of an unknown repository: %d %s", status, body)
	}
	descriptor, err := partial.Descriptor(img)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := stack.Image("signature")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Push(t.Context(), "acme/appliance:signature", mutate.Subject(mutate.MediaType(signature, types.OCIManifestSchema1), *descriptor).(v1.Image))
	if err != nil {
		t.Fatal(err)
	}
	tags = append(tags, strings.Replace(descriptor.Digest.String(), ":", "-", 1), "signature")
	// The backend requires an Accept for an index; clients need not send one.
	if status, body := ask("/v2/acme/appliance/referrers/" + descriptor.Digest.String()); status != 200 || !strings.Contains(body, signed) {
		t.Errorf("referrers: %d %s, want %s among them", status, body, signed)
	}
	status, body := ask("/v2/acme/appliance/tags/list")
	var list struct{ Tags []string }
	if err := json.Unmarshal([]byte(body), &list); err != nil || status != 200 {
		t.Fatalf("tags: %d %s, %v", status, body, err)
	}
	slices.Sort(list.Tags)
	if want := append([]string{"1.0"}, tags...); !reflect.DeepEqual(list.Tags, want) {
		t.Errorf("tags %v, want %v", list.Tags, want)
	}
}
