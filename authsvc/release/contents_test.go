package release_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestReaches has what a tag reaches, and what it does not. 1.0 may be pulled,
// 2.0 not.
func TestReaches(t *testing.T) {
	w := newWorld(t, nil)
	const repository = "acme/appliance"
	amd := w.put(repository, "", image("amd64", blob("base"), blob("amd")))
	arm := w.put(repository, "", image("arm64", blob("base"), blob("arm")))
	nested := w.put(repository, "", index(arm))
	root := w.put(repository, "1.0", index(amd, nested))
	sbom := w.put(repository, "", referrer(amd, "sbom", blob("sbom")))
	ofSBOM := w.put(repository, "", referrer(sbom, "signature", blob("signature of the sbom")))
	tagged := w.put(repository, "", image("fallback", blob("fallback")))
	fallback := w.put(repository, strings.Replace(root, ":", "-", 1), index(tagged))
	sig := w.put(repository, strings.Replace(root, ":", "-", 1)+".sig", image("sig", blob("sig")))
	att := w.put(repository, strings.Replace(arm, ":", "-", 1)+".att", image("att", blob("att")))
	ofSig := w.put(repository, strings.Replace(sig, ":", "-", 1)+".sbom", image("sbom of sig", blob("sbom of sig")))

	other := w.put(repository, "2.0", image("other", blob("base"), blob("other")))
	otherSBOM := w.put(repository, "", referrer(other, "sbom of other", blob("sbom of other")))
	otherSig := w.put(repository, strings.Replace(other, ":", "-", 1)+".sig", image("sig of other", blob("sig of other")))
	untagged := w.put(repository, "", image("untagged", blob("untagged")))

	for name, digest := range map[string]string{
		"root": root, "image": amd, "image of a nested index": arm, "nested index": nested,
		"configuration": blob("config arm64"), "layer": blob("amd"), "layer shared with a forbidden image": blob("base"),
		"referrer": sbom, "layer of a referrer": blob("sbom"), "referrer of a referrer": ofSBOM,
		"layer of a referrer of a referrer": blob("signature of the sbom"),
		"index of the referrers tag schema": fallback, "manifest in it": tagged, "layer in it": blob("fallback"),
		"cosign's signature": sig, "layer of cosign's signature": blob("sig"),
		"attestation of an image in an index": att, "its layer": blob("att"),
		"SBOM of a signature": ofSig, "layer of it": blob("sbom of sig"),
	} {
		// A new memory each: that one is found must not depend on another.
		w.releases = w.newReleases(nil)
		if tag := w.found(repository, digest, "1.*"); tag != "1.0" && !strings.HasPrefix(tag, "sha256-") {
			t.Errorf("%s: found by %q, want 1.0", name, tag)
		}
		w.down()
		if tag := w.found(repository, digest, "1.*"); tag == "" {
			t.Errorf("%s: not found again", name)
		}
		w.answer(nil)
	}
	w.releases = w.newReleases(nil)
	for range 2 { // before and after the forbidden ones are known
		for name, digest := range map[string]string{
			"forbidden image": other, "its layer": blob("other"), "its configuration": blob("config other"),
			"its referrer": otherSBOM, "layer of that": blob("sbom of other"), "its signature": otherSig, "layer of it": blob("sig of other"),
			"without a tag": untagged, "layer without a tag": blob("untagged"), "nowhere": blob("nowhere"),
			"by sha512": "sha512:" + strings.Repeat("0123456789abcdef", 8),
		} {
			if tag := w.found(repository, digest, "1.*"); tag != "" {
				t.Errorf("%s: found by %q", name, tag)
			}
		}
		if tag := w.found(repository, blob("sig of other"), "2.*"); tag != "2.0" {
			t.Errorf("forbidden image's signature: found by %q, want 2.0", tag)
		}
	}
}

// TestRepositoriesAreApart: what a digest is reached by in one repository says
// nothing of another.
func TestRepositoriesAreApart(t *testing.T) {
	w := newWorld(t, nil)
	// The same image is forbidden in one repository and allowed in the other,
	// by itself and through an index.
	forbidden := w.put("acme/a", "2.0", image("shared", blob("layer")))
	w.put("acme/a", "1.0", image("small", blob("small")))
	w.put("acme/b", "", image("shared", blob("layer")))
	w.put("acme/b", "1.0", index(forbidden))
	// An index of which the image is in another repository alone.
	w.put("acme/c", "1.0", index(forbidden))
	for range 2 {
		for _, digest := range []string{forbidden, blob("layer"), blob("config shared")} {
			if tag := w.found("acme/a", digest, "1.*"); tag != "" {
				t.Errorf("acme/a: %s found by %q", digest, tag)
			}
			if tag := w.found("acme/b", digest, "1.*"); tag != "1.0" {
				t.Errorf("acme/b: %s found by %q, want 1.0", digest, tag)
			}
		}
		for _, digest := range []string{blob("layer"), blob("config shared")} {
			if tag := w.found("acme/c", digest, "1.*"); tag != "" {
				t.Errorf("acme/c: %s found by %q, but no manifest there has it", digest, tag)
			}
		}
	}
}

func TestLookAsksForWantedTagsAlone(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 5 {
		w.put("acme/a", fmt.Sprintf("1.%d", i), image(fmt.Sprint("1.", i), blob("x")))
		w.put("acme/a", fmt.Sprintf("2.%d", i), image(fmt.Sprint("2.", i), blob("y")))
	}
	w.found("acme/a", blob("nowhere"), "1.*")
	for _, question := range w.questions() {
		if strings.Contains(question, "/manifests/2.") {
			t.Errorf("asked %s", question)
		}
	}
}
