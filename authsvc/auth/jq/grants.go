package jq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/itchyny/gojq"
	"github.com/pullgate/pullgate/authsvc/auth"
)

// maxGrants bounds one customer's grants: a look-up must end, and each
// decision walks them.
const maxGrants = 10_000

// A number is plausible as a time from earliest until before latest, in seconds
// since 1970: the years 2000 to 2199. Milliseconds and counts of days are not.
const earliest, latest = 946_684_800, 7_258_118_400

// last is the latest time that JSON can hold (RFC 3339): what is accepted is saved so.
var last = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// AppendGrants appends to grants what the expression makes of the objects, which
// are licenses: objects with the keys
//
//	repository  a pattern (auth.Pattern)
//	tags        a pattern, or an array of them
//	expires     the end: an RFC 3339 time, seconds since 1970, a day (2027-01-31,
//	            which is still valid in UTC), or null for never
//	license     an id, text or a number
//	withdrawn   true if the vendor ended the license; may be absent
//
// Anything else is an error: skipping it would refuse a customer or guess a right.
func (e *Expression) AppendGrants(ctx context.Context, grants []auth.Grant, objects []any) ([]auth.Grant, error) {
	for i, object := range objects {
		err := e.each(ctx, object, func(value any) error {
			made, err := parseGrants(value)
			if err != nil {
				return err
			}
			if grants = append(grants, made...); len(grants) > maxGrants {
				return fmt.Errorf("more than %d grants", maxGrants)
			}
			return nil
		})
		if err != nil {
			return nil, &LicenseError{Number: i + 1, License: object, Err: err}
		}
	}
	return grants, nil
}

// A LicenseError says which license the expression fails on.
type LicenseError struct {
	Number  int // from 1
	License any // as Decode gives it; never part of the message
	Err     error
}

func (e *LicenseError) Error() string {
	return fmt.Sprintf("license %d of the list: %v", e.Number, e.Err)
}
func (e *LicenseError) Unwrap() error { return e.Err }

var (
	requiredKeys = []string{"repository", "tags", "expires", "license"}
	optionalKeys = []string{"withdrawn"}
)

// parseGrants reads one value of the grants expression: a grant for each
// pattern of tags. Its errors begin with the key, if one is wrong.
func parseGrants(value any) ([]auth.Grant, error) {
	object, err := parseKeys(value)
	if err != nil {
		return nil, err
	}
	var grant auth.Grant
	if grant.Repository, err = parsePattern(object["repository"]); err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	if grant.Expires, err = parseExpires(object["expires"]); err != nil {
		return nil, fmt.Errorf("expires: %w", err)
	}
	if grant.License, err = parseID(object["license"]); err != nil {
		return nil, fmt.Errorf("license: %w", err)
	}
	if withdrawn, found := object["withdrawn"]; found {
		var ok bool
		if grant.Withdrawn, ok = withdrawn.(bool); !ok {
			return nil, fmt.Errorf("withdrawn: expected true or false, found %s", gojq.TypeOf(withdrawn))
		}
	}
	tags, ok := object["tags"].([]any)
	if !ok {
		tags = []any{object["tags"]}
	}
	grants := make([]auth.Grant, 0, len(tags))
	for _, tag := range tags {
		if grant.Tag, err = parsePattern(tag); err != nil {
			return nil, fmt.Errorf("tags: %w", err)
		}
		grants = append(grants, grant)
	}
	return grants, nil
}

// parseKeys checks that a value is an object with the keys of a grant alone.
func parseKeys(value any) (map[string]any, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("expected an object that describes grants, found %s", gojq.TypeOf(value))
	}
	for _, key := range requiredKeys {
		if _, ok := object[key]; !ok {
			return nil, fmt.Errorf("expected the key %q, found none", key)
		}
	}
	for key := range object {
		if !slices.Contains(requiredKeys, key) && !slices.Contains(optionalKeys, key) {
			return nil, fmt.Errorf("expected the keys %q and optionally %q, found another key", requiredKeys, optionalKeys)
		}
	}
	return object, nil
}

func parsePattern(value any) (auth.Pattern, error) {
	s, ok := value.(string)
	if !ok {
		return auth.Pattern{}, fmt.Errorf("expected a pattern, found %s", gojq.TypeOf(value))
	}
	return auth.NewPattern(s)
}

// parseExpires returns the first moment at which the license no longer holds;
// zero for never.
func parseExpires(value any) (time.Time, error) {
	if value == nil {
		return time.Time{}, nil
	}
	if seconds, ok := gojq.ToFloat64(value); ok {
		if earliest <= seconds && seconds < latest {
			return time.Unix(int64(seconds), 0), nil
		}
		return time.Time{}, errors.New("expected seconds since 1970, in the years 2000 to 2199, found another number; is it milliseconds?")
	}
	text, ok := value.(string)
	if !ok {
		return time.Time{}, fmt.Errorf("expected a time, seconds since 1970, or null for never, found %s", gojq.TypeOf(value))
	}
	t, err := time.Parse(time.DateOnly, text)
	if err == nil {
		t = t.AddDate(0, 0, 1)
	} else {
		t, err = time.Parse(time.RFC3339, text)
	}
	if t.After(last) {
		t = last
	}
	if err != nil || t.IsZero() { // which would be never
		return time.Time{}, errors.New("expected an RFC 3339 time or a day (2027-01-31), found other text")
	}
	return t, nil
}
