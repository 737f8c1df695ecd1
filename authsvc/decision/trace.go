package decision

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/registry"
)

// A Trace receives each step's finding, in a sentence, and its duration. The last
// step's finding is the refusal or the outage, if there is one.
type Trace func(step, finding string, took time.Duration)

// traced returns the step with a trace of it.
func (s step) traced(trace Trace) step {
	return step{s.name, func(d *Decider, ctx context.Context, q Question, o *Outcome) (*registry.Refusal, error) {
		start := time.Now()
		refusal, err := s.do(d, ctx, q, o)
		took := time.Since(start)
		switch {
		case err != nil:
			trace(s.name, "outage: "+err.Error(), took)
		case refusal != nil:
			trace(s.name, "refused: "+refusal.String(), took)
		default:
			trace(s.name, s.finding(o), took)
		}
		return refusal, err
	}, s.finding}
}

func foundRequest(o *Outcome) string {
	return strings.TrimRight(fmt.Sprintf("%s %s %s", o.Request.Kind, o.Request.Repository, o.Request.Reference), " ")
}

func foundSubject(o *Outcome) string {
	return fmt.Sprintf("%s, cache: %s, grants: %d", o.Subject, o.Cache, o.grants.Len())
}

func foundLicense(o *Outcome) string {
	if o.License == "" {
		return "no license is needed"
	}
	return "license " + o.License
}

func foundToken(o *Outcome) string {
	if o.Token.Host == "" {
		return "no token is needed"
	}
	return fmt.Sprintf("token for %s, fetched at %s", o.Token.Host, o.Token.FetchedAt.UTC().Format(time.RFC3339))
}

func foundPage(o *Outcome) string { return fmt.Sprintf("%d entries", len(o.Page)) }
