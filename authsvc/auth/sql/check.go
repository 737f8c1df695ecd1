package sql

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/pullgate/pullgate/authsvc/auth"
)

// probes are values that hopefully nobody has, for columns of text, of numbers and of
// UUIDs.
var probes = []string{"check-config@pullgate.invalid", "0", "00000000-0000-0000-0000-000000000000"}

// check runs the queries for an account that does not exist, in read-only transactions,
// and looks at their columns.
func (s *source) check(ctx context.Context) error {
	var selected []string
	var err error
	if s.account != nil {
		if selected, err = s.probe(ctx, s.account); err != nil {
			return err
		}
	}
	if s.grants == nil {
		return nil
	}
	if s.account != nil && s.grants.uses("user") && !slices.Contains(selected, "user") {
		return errors.New(`grants: expected :subject, or a column user in the query account, because :user is the account's own name and not what was typed; found :user without it`)
	}
	_, err = s.probe(ctx, s.grants)
	return err
}

// probe returns the columns of a query's answer.
func (s *source) probe(ctx context.Context, q *query) (names []string, err error) {
	for _, probe := range probes {
		err = s.db.read(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			names, err = q.run(ctx, tx, map[string]string{"subject": probe, "user": probe}, func(row) error { return nil })
			return err
		})
		if !errors.Is(err, auth.ErrUnreadable) {
			return names, err
		}
	}
	return nil, err
}
