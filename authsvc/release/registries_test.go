package release_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/pullgate/pullgate/authsvc/release"
)

// silent has the repositories below partner/ in a registry that does not answer.
type silent struct {
	release.Source
	asked chan struct{}
}

func (s silent) Place(repository string) (release.Place, error) {
	if strings.HasPrefix(repository, "partner/") {
		return release.Place{Registry: "partner", Host: "partner.example.com", Repository: repository}, nil
	}
	return s.Source.Place(repository)
}

func (s silent) Tags(ctx context.Context, repository string) ([]string, error) {
	if strings.HasPrefix(repository, "partner/") {
		s.asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Source.Tags(ctx, repository)
}

func (s silent) Manifest(ctx context.Context, repository, reference string) (release.Manifest, error) {
	if strings.HasPrefix(repository, "partner/") {
		s.asked <- struct{}{}
		<-ctx.Done()
		return release.Manifest{}, ctx.Err()
	}
	return s.Source.Manifest(ctx, repository, reference)
}

// TestSilentRegistryStallsNoOther: after a restart, few repositories that are not known
// yet are asked about at a time. Those of a registry that did not answer took all of that.
func TestSilentRegistryStallsNoOther(t *testing.T) {
	asked := make(chan struct{}, 100)
	w := newWorld(t, func(o *release.Options) {
		o.Source, o.Parallel = silent{o.Source, asked}, 8
	})
	w.put(appliance, "1.0", image("a", blob("a")))
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			_, _ = w.releases.Find(ctx, "partner/"+string(rune('a'+i)), blob("a"), globs{"*"})
		})
		all.Go(func() {
			_, _ = w.releases.Pin(ctx, manifest("partner/"+string(rune('m'+i)), "1.0"))
		})
	}
	<-asked
	<-asked // as many as there are places
	if tag := w.found(appliance, blob("a"), "1.0"); tag != "1.0" {
		t.Errorf("another registry's layer is found by %q", tag)
	}
	w.isPinned("another registry's tag", "1.0", w.put(appliance, "1.0", image("a", blob("a"))))
	leave()
	all.Wait()
}
