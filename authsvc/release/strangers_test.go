package release_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
)

// inventing says at once that there are no repositories of invented names.
type inventing struct{ release.Source }

func (s inventing) Tags(ctx context.Context, repository string) ([]string, error) {
	if strings.Contains(repository, "invented") {
		return nil, release.ErrNotFound
	}
	return s.Source.Tags(ctx, repository)
}

func (s inventing) Manifest(ctx context.Context, repository, reference string) (release.Manifest, error) {
	if strings.Contains(repository, "invented") {
		return release.Manifest{}, release.ErrNotFound
	}
	return s.Source.Manifest(ctx, repository, reference)
}

// TestInventedRepositoriesPushOutNothing: a license for acme/* and 10,000
// invented names forced everything that was known to be copied.
func TestInventedRepositoriesPushOutNothing(t *testing.T) {
	w := newWorld(t, func(o *release.Options) { o.Source = inventing{o.Source} })
	w.put("acme/appliance", "1.0", image("known", blob("known")))
	ask := func() {
		t.Helper()
		if tag := w.found("acme/appliance", blob("known"), "1.*"); tag != "1.0" {
			t.Errorf("what is known is found by %q", tag)
		}
		if tag := w.found("acme/appliance", blob("guess"), "1.*"); tag != "" {
			t.Errorf("a guess is found by %q", tag)
		}
		if tags, _, err := w.releases.Tags(t.Context(), "acme/appliance"); len(tags) != 1 || err != nil {
			t.Errorf("the tags are %q, %v", tags, err)
		}
	}
	ask()
	for i := range 10_001 {
		repository := fmt.Sprint("acme/invented", i)
		w.releases.Asked(repository, "1.0")
		if tag := w.found(repository, blob("known"), "*"); tag != "" {
			t.Fatalf("found by %q in a repository that does not exist", tag)
		}
	}
	w.releases.Asked("acme/appliance", "1.0") // used before and after
	w.found("acme/appliance", blob("guess"), "1.*")
	w.questions()
	ask()
	var asked []string
	for _, question := range w.questions() {
		if strings.Contains(question, "/acme/appliance/") {
			asked = append(asked, question)
		}
	}
	if len(asked) > 0 {
		t.Errorf("asked again: %q", asked)
	}
}

// TestInventedRepositoriesStallNothing: while the registry takes its time for
// names that somebody invents, others learn what is new to them.
func TestInventedRepositoriesStallNothing(t *testing.T) {
	w := newWorld(t, func(o *release.Options) { o.Timeout = 20 * time.Second })
	w.put("acme/appliance", "1.0", image("old", blob("old")))
	w.found("acme/appliance", blob("old"), "*")
	w.put("acme/appliance", "2.0", image("new", blob("new")))
	w.advance(time.Minute)
	answered := make(chan struct{})
	w.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "invented") {
			<-answered
		}
		return false
	})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			repository := fmt.Sprint("acme/invented", i)
			w.releases.Asked(repository, "1.0")
			_, _ = w.releases.Find(t.Context(), repository, blob("x"), globs{"*"})
		})
	}
	for len(w.seen("invented")) == 0 {
		time.Sleep(time.Millisecond)
	}
	w.releases.Asked("acme/appliance", "2.0")
	if tag := w.found("acme/appliance", blob("new"), "*"); tag != "2.0" {
		t.Errorf("what is new is found by %q", tag)
	}
	close(answered)
	all.Wait()
}

// TestNewRepository: one that was missing is known as soon as a customer is let
// through to it.
func TestNewRepository(t *testing.T) {
	w := newWorld(t, nil)
	if tag := w.found("acme/new", blob("new"), "*"); tag != "" {
		t.Fatalf("found by %q before there was anything", tag)
	}
	w.put("acme/new", "1.0", image("new", blob("new")))
	w.releases.Asked("acme/new", "1.0")
	if tag := w.found("acme/new", blob("new"), "*"); tag != "1.0" {
		t.Errorf("found by %q", tag)
	}
}

// TestLapsedTagsRest: a digest whose tags have lapsed was asked for again at
// each request.
func TestLapsedTagsRest(t *testing.T) {
	synctest.Test(t, lapsedTagsRest)
}

func lapsedTagsRest(t *testing.T) {
	w := newWorld(t, nil)
	old := w.put("acme/appliance", "latest", image("old", blob("old")))
	w.found("acme/appliance", old, "latest")
	w.put("acme/appliance", "latest", image("new", blob("new")))
	w.advance(25 * time.Hour)
	w.found("acme/appliance", old, "latest")
	synctest.Wait() // what is learned in the background
	w.questions()
	for range 100 {
		w.advance(time.Millisecond)
		if tag := w.found("acme/appliance", old, "latest"); tag != "" {
			t.Fatalf("what the tag had a day ago is found by %q", tag)
		}
	}
	synctest.Wait()
	if asked := w.questions(); len(asked) > 0 {
		t.Errorf("%d questions for 100 requests, the first %s", len(asked), asked[0])
	}
}

// TestLapsedTagsRestInAnOutage: nor is the registry asked at each request while
// it fails.
func TestLapsedTagsRestInAnOutage(t *testing.T) {
	synctest.Test(t, lapsedTagsRestInAnOutage)
}

func lapsedTagsRestInAnOutage(t *testing.T) {
	w := newWorld(t, nil)
	old := w.put("acme/appliance", "latest", image("old", blob("old")))
	w.found("acme/appliance", old, "latest")
	w.advance(25 * time.Hour)
	synctest.Wait() // what is learned in the background
	w.down()
	w.questions()
	for range 100 {
		w.advance(time.Millisecond)
		if tag, err := w.find("acme/appliance", old, "latest"); tag != "" || err == nil {
			t.Fatalf("found by %q, %v; want an outage", tag, err)
		}
	}
	if asked := w.seen("/manifests/latest"); len(asked) > 1 { // the first look may still ask for referrers
		t.Errorf("%d questions for 100 requests, the first %s", len(asked), asked[0])
	}
	w.answer(nil)
	w.advance(time.Second)
	if tag := w.found("acme/appliance", old, "latest"); tag != "latest" {
		t.Errorf("after the outage found by %q", tag)
	}
}

// TestDoubtfulTagsRest: guesses by somebody who has just asked for many tags
// cause no more questions than other guesses.
func TestDoubtfulTagsRest(t *testing.T) {
	synctest.Test(t, doubtfulTagsRest)
}

func doubtfulTagsRest(t *testing.T) {
	w := newWorld(t, func(o *release.Options) { o.NoReferrers = true })
	const tags, seconds = 300, 20
	for i := range tags {
		w.put("acme/appliance", fmt.Sprint("1.", i), image(fmt.Sprint(i), blob(fmt.Sprint(i))))
	}
	w.found("acme/appliance", blob("guess"), "1.*")
	for i := range tags {
		w.releases.Asked("acme/appliance", fmt.Sprint("1.", i))
	}
	w.found("acme/appliance", blob("guess"), "1.*")
	synctest.Wait() // what is learned in the background
	w.questions()
	for i := range seconds {
		w.advance(1100 * time.Millisecond)
		for j := range 5 {
			w.found("acme/appliance", blob(fmt.Sprint("guess", i, j)), "1.*")
		}
	}
	if n := len(w.questions()); n > 2*100*seconds {
		t.Errorf("%d questions in %d seconds, want no more than 100 a second for guesses and for looks", n, seconds)
	}
}
