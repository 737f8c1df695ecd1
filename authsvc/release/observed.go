package release

import (
	"context"
	"errors"
	"time"
)

// observed tells of each question to a Source.
type observed struct {
	Source
	observe func(kind, outcome string, took time.Duration)
}

func (o *observed) Tags(ctx context.Context, repository string) ([]string, error) {
	start := time.Now()
	names, err := o.Source.Tags(ctx, repository)
	o.tell("tags", err, start)
	return names, err
}

func (o *observed) Resolve(ctx context.Context, repository, tag string) (string, error) {
	start := time.Now()
	digest, err := o.Source.Resolve(ctx, repository, tag)
	o.tell("resolve", err, start)
	return digest, err
}

func (o *observed) Manifest(ctx context.Context, repository, reference string) (Manifest, error) {
	start := time.Now()
	m, err := o.Source.Manifest(ctx, repository, reference)
	o.tell("manifest", err, start)
	return m, err
}

func (o *observed) Referrers(ctx context.Context, repository, digest string) ([]string, error) {
	start := time.Now()
	found, err := o.Source.Referrers(ctx, repository, digest)
	o.tell("referrers", err, start)
	return found, err
}

func (o *observed) tell(kind string, err error, start time.Time) {
	outcome := "ok"
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrTooBig), errors.Is(err, ErrUnsupported):
		outcome = "unknown"
	case err != nil:
		outcome = "error"
	}
	o.observe(kind, outcome, time.Since(start))
}
