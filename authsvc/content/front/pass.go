package front

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/origin"
)

// errWhole means that a request for a part is for the whole.
var errWhole = errors.New("the part is the whole object, which is not passed on unverified")

// pass answers a request from the registry, and keeps nothing.
func (f *Front) pass(ctx context.Context, w http.ResponseWriter, q question) way {
	release, err := f.o.Fetcher.Enter(q.Subject)
	if err != nil {
		return f.decline(w, q, err)
	}
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(time.Until(q.until), func() { cancel(errSlow) })
	if q.head {
		err = f.passHead(ctx, w, q, slow)
	} else {
		err = f.passPart(ctx, w, q, slow)
	}
	if refusal, ok := errors.AsType[*origin.RangeError](err); ok {
		unsatisfiable(w, refusal.ContentRange)
		return passed
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return f.decline(w, q, err)
	}
	return passed
}

func (f *Front) passHead(ctx context.Context, w http.ResponseWriter, q question, slow *time.Timer) error {
	head, err := f.o.Origin.Head(ctx, q.ask())
	if err != nil || !slow.Stop() {
		return errors.Join(err, context.Cause(ctx))
	}
	if q.ID.Kind == object.Manifest && head.ContentType == "" {
		return errors.New("expected a Content-Type, found none")
	}
	if !q.accepts(object.Media(head.ContentType)) {
		return errUnwanted
	}
	describe(w.Header(), q.ID, head.ContentType)
	begin(w, origin.Part{Last: head.Size - 1, Size: head.Size}, false)
	return nil
}

func (f *Front) passPart(ctx context.Context, w http.ResponseWriter, q question, slow *time.Timer) error {
	if q.ID.Kind == object.Manifest {
		return errors.New("a part of a manifest is not passed on")
	}
	part, body, err := f.o.Origin.Range(ctx, q.ask(), q.ranges.String())
	if err != nil || !slow.Stop() {
		if err == nil {
			_ = body.Close()
		}
		return errors.Join(err, context.Cause(ctx))
	}
	defer func() { _ = body.Close() }() // whatever was read was passed on
	if asked, ok := q.ranges.of(part.Size); !ok || asked != part {
		return fmt.Errorf("expected the part %s, found %d to %d of %d", q.ranges, part.First, part.Last, part.Size)
	}
	if part.Length() == part.Size {
		return errWhole
	}
	describe(w.Header(), q.ID, "")
	begin(w, part, true)
	if err := f.send(w, body, part.Length()); err != nil {
		f.breakOff(q, err)
	}
	return nil
}
