package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pullgate/pullgate/nginx/stack"
)

// TestConformance runs the OCI conformance tests against the front, as a customer
// who has licensed only release 1.0: its index, images, layers, SBOM, and the SBOM's
// signature. The last two have no tag that she may pull.
// https://github.com/opencontainers/distribution-spec/tree/main/conformance
func TestConformance(t *testing.T) {
	s := start(t, stack.Options{})
	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "1.0"))
	index, err := stack.Index("acme/appliance:1.0", "amd64", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.Push(t.Context(), "acme/appliance:1.0", index)
	if err != nil {
		t.Fatal(err)
	}
	sbom := artifact(t, index, "application/spdx+json")
	sbomDigest, err := s.Push(t.Context(), "acme/appliance:x-sbom", sbom)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := s.Push(t.Context(), "acme/appliance:x-signature", artifact(t, sbom, "application/x-signature"))
	if err != nil {
		t.Fatal(err)
	}
	push(t, s, "acme/appliance:2.0") // must not be visible

	manifests, blobs := []string{root, sbomDigest, signature}, []string{layerOfImage(t, sbom)}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list.Manifests {
		manifests = append(manifests, d.Digest.String())
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, layerOfImage(t, img), config.String())
	}
	conform(t, s, map[string]string{
		"OCI_RO_DATA_TAGS": "1.0", "OCI_RO_DATA_MANIFESTS": strings.Join(manifests, " "),
		"OCI_RO_DATA_BLOBS": strings.Join(blobs, " "), "OCI_RO_DATA_REFERRERS": root + " " + sbomDigest,
	})
}

// conform runs the program and expects all read tests to pass.
func conform(t *testing.T, s *stack.Stack, data map[string]string) {
	t.Helper()
	dir := t.TempDir()
	// A name other than the bucket's, or the program would send the customer's
	// credential there, which S3 refuses.
	registry := strings.Replace(s.Host, "127.0.0.1", "localhost", 1)
	cmd := exec.CommandContext(t.Context(), newTool(t, "conformance", "nginx/stack/install.sh test").path)
	cmd.Dir = dir
	cmd.Env = []string{
		"HOME=" + dir, "OCI_RESULTS_DIR=" + dir, "OCI_REGISTRY=" + registry, "OCI_TLS=disabled", "OCI_REPO1=acme/appliance", "OCI_USERNAME=" + email, "OCI_PASSWORD=" + secret,
		"OCI_API_PUSH=false", "OCI_API_BLOBS_DELETE=false", "OCI_API_MANIFESTS_DELETE=false", "OCI_API_TAGS_DELETE=false",
		"OCI_FILTER_TEST=OCI Conformance Test/read-only",
	}
	for name, value := range data {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("conformance: %v\n%s", err, out)
	}
	if summary := regexp.MustCompile(`(?s)OCI Conformance Result:.*?Total\S+ +\d+`).Find(out); summary != nil {
		t.Logf("%s", summary)
	}
	report, err := os.ReadFile(filepath.Join(dir, "junit.xml"))
	if err != nil {
		t.Fatal(err)
	}
	counts := regexp.MustCompile(`<testsuite name="[^"]*" tests="(\d+)" failures="0" errors="0" disabled="(\d+)"`).FindSubmatch(report)
	if counts == nil {
		t.Fatalf("expected no failure and no error, found %.400s", report)
	}
	tests, err := strconv.Atoi(string(counts[1]))
	if err != nil {
		t.Fatal(err)
	}
	disabled, err := strconv.Atoi(string(counts[2]))
	if err != nil {
		t.Fatal(err)
	}
	if tests-disabled < 20 { // 16 of them test writes
		t.Errorf("%d of %d tests ran\n%s", tests-disabled, tests, out)
	}
}

// artifact returns an image that refers to another manifest.
func artifact(t *testing.T, subject interface {
	partial.Describable
	Digest() (v1.Hash, error)
}, kind string) v1.Image {
	t.Helper()
	img, err := stack.Image(kind)
	if err != nil {
		t.Fatal(err)
	}
	descriptor, err := partial.Descriptor(subject)
	if err != nil {
		t.Fatal(err)
	}
	img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.MediaType(kind))
	referring, ok := mutate.Subject(img, *descriptor).(v1.Image)
	if !ok {
		t.Fatal("an image with a subject is no image")
	}
	return referring
}

func layerOfImage(t *testing.T, img v1.Image) string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}
