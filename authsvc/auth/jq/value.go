package jq

import (
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
)

// MaxGrants bounds one customer's grants.
const MaxGrants = maxGrants

// ParseGrants reads one object with the keys that AppendGrants describes: a grant for
// each pattern of tags.
func ParseGrants(value any) ([]auth.Grant, error) { return parseGrants(value) }

// ParseEnd reads an end, as a grant's expires: the first moment after it; zero for
// never.
func ParseEnd(value any) (time.Time, error) { return parseExpires(value) }
