package kloudless

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/itchyny/gojq"
	"github.com/pullgate/pullgate/authsvc/auth"
)

// maxGrants bounds one customer's grants: a look-up must end, and each
// decision walks them.
const maxGrants = 10_000

// An expression is a compiled jq program. It reads no files, no environment
// and no modules, and ends with its context.
type expression struct{ code *gojq.Code }

func compile(source string) (*expression, error) {
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("expected a jq expression: %w", err)
	}
	code, err := gojq.Compile(query, gojq.WithEnvironLoader(func() []string { return nil }))
	if err != nil {
		return nil, fmt.Errorf("expected a jq expression: %w", err)
	}
	return &expression{code}, nil
}

// each calls f with each value that the expression makes of input.
func (e *expression) each(ctx context.Context, input any, f func(any) error) error {
	results := e.code.RunWithContext(ctx, input)
	for {
		value, ok := results.Next()
		if !ok {
			return nil
		}
		if err, ok := value.(error); ok {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var halt *gojq.HaltError
			if errors.As(err, &halt) && halt.Value() == nil {
				return nil
			}
			// gojq's words quote the value, which is the customer's.
			return errors.New("the jq expression fails on the answer; try it with jq on one license object")
		}
		if err := f(value); err != nil {
			return err
		}
	}
}

// text returns the one name that the expression makes of input.
func (e *expression) text(ctx context.Context, input any) (string, error) {
	var found []string
	err := e.each(ctx, input, func(value any) error {
		s, err := parseLicense(value)
		if err != nil {
			return err
		}
		found = append(found, s)
		if len(found) > 1 {
			return errors.New("expected the jq expression to give one value, found more")
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = errors.New("expected the jq expression to give one value, found none")
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// appendGrants appends what the objects, licenses, grant. One that is not
// understood is an error: to skip it would be to refuse a customer, or to
// guess a right.
func (c *Client) appendGrants(ctx context.Context, grants []auth.Grant, objects []any) ([]auth.Grant, error) {
	for i, object := range objects {
		err := c.grantsOf.each(ctx, object, func(value any) error {
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
			return nil, fmt.Errorf("license %d of the list: %w", i+1, err)
		}
	}
	return grants, nil
}

var grantKeys = [...]string{"repository", "tags", "expires", "license"}

// parseGrants reads one value of the grants expression, strictly: a grant for
// each pattern of tags.
func parseGrants(value any) ([]auth.Grant, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("expected the grants expression to give objects, found %s", gojq.TypeOf(value))
	}
	for _, key := range grantKeys {
		if _, ok := object[key]; !ok {
			return nil, fmt.Errorf("expected the grants expression to give the key %q", key)
		}
	}
	if len(object) != len(grantKeys) {
		return nil, fmt.Errorf("expected the grants expression to give the keys %q, found more", grantKeys)
	}
	repository, err := parsePattern(object["repository"])
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	expires, err := parseExpires(object["expires"])
	if err != nil {
		return nil, fmt.Errorf("expires: %w", err)
	}
	license, err := parseLicense(object["license"])
	if err != nil {
		return nil, fmt.Errorf("license: %w", err)
	}
	tags, ok := object["tags"].([]any)
	if !ok {
		tags = []any{object["tags"]}
	}
	var grants []auth.Grant
	for _, value := range tags {
		tag, err := parsePattern(value)
		if err != nil {
			return nil, fmt.Errorf("tags: %w", err)
		}
		grants = append(grants, auth.Grant{Repository: repository, Tag: tag, Expires: expires, License: license})
	}
	return grants, nil
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
	switch value := value.(type) {
	case nil:
		return time.Time{}, nil
	case string:
		if day, err := time.Parse(time.DateOnly, value); err == nil {
			return day.AddDate(0, 0, 1), nil
		}
		t, err := time.Parse(time.RFC3339, value)
		if err != nil || t.IsZero() {
			return time.Time{}, errors.New("expected an RFC 3339 time or a day (2027-01-31), found other text")
		}
		return t, nil
	case int:
		if value > 0 {
			return time.Unix(int64(value), 0), nil
		}
	case float64:
		if value >= 1 && value < math.MaxInt32*100 {
			return time.Unix(int64(value), 0), nil
		}
	}
	return time.Time{}, fmt.Errorf("expected a time, seconds since 1970, or null for never, found %s", gojq.TypeOf(value))
}

func parseLicense(value any) (string, error) {
	switch value := value.(type) {
	case string:
		if value != "" && len(value) <= 255 {
			return value, nil
		}
	case int:
		return strconv.Itoa(value), nil
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("expected an id of 1 to 255 bytes, found %s", gojq.TypeOf(value))
}
