package main

import "time"

// An outcome is what a client got.
type outcome string

const (
	served      outcome = "served"        // what was asked for, verified
	refused     outcome = "refused"       // 401, 403 or 404
	busy        outcome = "busy"          // 429
	unavailable outcome = "unavailable"   // 503, or a broken connection
	otherwise   outcome = "wrong content" // something, but not what was asked for
)

// What can be asked for.
const (
	byTag    = "tag"
	byDigest = "digest"
	aList    = "list"
)

// A pull is one run of a client.
type pull struct {
	customer string // one of kinds
	asks     string
	want     outcome // served or refused
	outcome  outcome

	began, ended    time.Time
	command, output string
}

// A verdict is what a pull means for the run.
type verdict string

const (
	ok      verdict = "ok"
	excused verdict = "excused"
	lost    verdict = "lost"
	// wronged is never excused: a right that was denied, or something that was
	// served without one, or with other content.
	wronged verdict = "wronged"
)

// judge says what a pull means. excuses apply only to outages.
func judge(p pull, inForce []period, excuses []excuse) verdict {
	if p.outcome == p.want {
		return ok
	}
	if p.outcome != busy && p.outcome != unavailable {
		return wronged
	}
	for _, e := range excuses {
		if e.covers(p, inForce) {
			return excused
		}
	}
	return lost
}
