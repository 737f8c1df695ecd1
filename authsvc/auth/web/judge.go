package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
)

// A verdict is what an answer says of the customer, fit for a metric's label.
type verdict string

const (
	unclear  verdict = "" // an outage
	accepted verdict = "ok"
	refused  verdict = "refused"
	notMine  verdict = "not_mine"
)

// A rule recognizes answers of one verdict: by their status, and what their body
// must say besides.
type rule struct {
	key       string
	verdict   verdict
	statuses  []int
	condition *jq.Expression // nil for none
}

// A judge has rules in the order in which they apply.
type judge []rule

// newJudge's errors begin with the name of the setting.
func newJudge(c Config) (judge, error) {
	var j judge
	for _, r := range []struct {
		key     string
		verdict verdict
		Rule
	}{{"not_mine", notMine, c.NotMine}, {"refused", refused, c.Refused}, {"accepted", accepted, c.Accepted}} {
		made := rule{key: r.key, verdict: r.verdict, statuses: r.Statuses}
		var err error
		if made.condition, err = compile(r.key+".if", r.If, "$status"); err != nil {
			return nil, err
		}
		j = append(j, made)
	}
	if len(c.Accepted.Statuses) == 0 {
		return nil, errors.New("accepted.statuses: expected at least one, found none")
	}
	for i, r := range j {
		for _, later := range j[i+1:] {
			for _, status := range r.statuses {
				if r.condition == nil && slices.Contains(later.statuses, status) {
					return nil, fmt.Errorf("%s.if: expected what tells these answers from those of %s, because both have status %d; found nothing", r.key, later.key, status)
				}
			}
		}
	}
	return j, nil
}

// plain accepts 200 alone: it judges answers that do not depend on the customer's
// credential.
var plain = judge{{key: "accepted", verdict: accepted, statuses: []int{http.StatusOK}}}

// of judges an answer. If it is unclear, the error says why.
func (j judge) of(ctx context.Context, a *answer) (verdict, error) {
	var doubt error
	for _, r := range j {
		if !slices.Contains(r.statuses, a.status) {
			continue
		}
		holds, err := r.holds(ctx, a, j)
		if holds {
			return r.verdict, nil
		}
		if ctx.Err() != nil {
			return unclear, ctx.Err()
		}
		if doubt == nil {
			doubt = err
		}
	}
	return unclear, errors.Join(j.unexpected(a), doubt)
}

// holds says whether an answer with one of the rule's statuses is the rule's. An
// error page must say that it is JSON: a firewall's may quote anything.
func (r rule) holds(ctx context.Context, a *answer, j judge) (bool, error) {
	switch {
	case r.condition == nil:
		return true, nil
	case !a.json && !j.accepts(a.status):
		return false, errors.New("expected JSON, found another Content-Type")
	}
	value, err := a.value()
	if err != nil {
		return false, err
	}
	return r.condition.With(a.status).Truth(ctx, value)
}

func (j judge) accepts(status int) bool {
	return slices.Contains(j[len(j)-1].statuses, status)
}

// unexpected describes an answer that no rule recognizes.
func (j judge) unexpected(a *answer) error {
	for _, r := range j {
		if r.condition == nil || !slices.Contains(r.statuses, a.status) {
			continue
		}
		if j.accepts(a.status) {
			return fmt.Errorf("expected status %d with an answer that one of accepted.if, refused.if and not_mine.if recognizes, found another answer", a.status)
		}
		return fmt.Errorf("expected status %d with the service's own answer, of which this is true: %s; found something else: a firewall or proxy in front of the service?", a.status, r.condition)
	}
	err := fmt.Errorf("expected status %d, found %d", j[len(j)-1].statuses[0], a.status)
	switch a.status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnprocessableEntity, http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Errorf("%w: %w", auth.ErrUnreadable, err) // it is the credential that the service cannot read
	}
	return err
}

// compile compiles the expression of a setting; nil for an empty one.
func compile(key, source string, variables ...string) (*jq.Expression, error) {
	if source == "" {
		return nil, nil
	}
	e, err := jq.Compile(source, variables...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return e, nil
}
