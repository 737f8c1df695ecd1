package decision

import (
	"context"
	"time"

	"github.com/pullgate/pullgate/authsvc/registry"
)

// A Step names a step of a decision.
type Step string

// The steps. A request that is forwarded takes the first five. One that the content store
// may serve ends with Locate, and one that it fetches has Locate before Route; a list ends
// with List.
const (
	Parse        Step = "parse"
	Authenticate Step = "authenticate"
	Entitle      Step = "entitle"
	Route        Step = "route"
	Key          Step = "key"
	Locate       Step = "locate"
	List         Step = "list"
)

// A Finding is what is known after a step.
type Finding struct {
	Step Step
	// Outcome is what the steps have found so far. Its Refusal or Err is this
	// step's, which then is the last one.
	Outcome Outcome
	Took    time.Duration
}

// A Trace receives each step's finding.
type Trace func(Finding)

// traced returns the step with a trace of it.
func (s step) traced(trace Trace) step {
	return step{s.name, func(d *Decider, ctx context.Context, q Question, o *Outcome) (*registry.Refusal, error) {
		start := time.Now()
		refusal, err := s.do(d, ctx, q, o)
		found := *o
		found.Refusal, found.Err = refusal, err
		trace(Finding{s.name, found, time.Since(start)})
		return refusal, err
	}}
}
