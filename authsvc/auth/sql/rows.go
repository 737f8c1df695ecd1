package sql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
)

// Bounds of an answer.
const (
	maxSecrets = 100   // rows of the query account
	maxValue   = 8_192 // bytes of one column in one row
	maxText    = 255   // bytes of a subject, a user or a name
)

// The columns of the two queries. One that is not known is an error: it may be a
// misspelled end.
var (
	accountColumns = columns{required: []string{"subject", "hash"}, optional: []string{"user", "name", "ends", "reason"}}
	grantsColumns  = columns{required: []string{"repository", "tags", "expires", "license"}, optional: []string{"withdrawn"}}
)

type columns struct{ required, optional []string }

// check says what is wrong with the names of an answer's columns.
func (c columns) check(names []string) error {
	for i, name := range names {
		if !slices.Contains(c.required, name) && !slices.Contains(c.optional, name) {
			return fmt.Errorf("expected the columns %s and optionally %s, found the column %.100q", strings.Join(c.required, ", "), strings.Join(c.optional, ", "), name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("expected each column once, found two with the name %s", name)
		}
	}
	for _, name := range c.required {
		if !slices.Contains(names, name) {
			return fmt.Errorf("expected the column %s, found none; write AS %s", name, name)
		}
	}
	return nil
}

// A row is one row's values by column: nil, string, bool, json.Number or float64.
type row map[string]any

// run calls each with the rows of a query's answer, and returns the columns' names.
func (q *query) run(ctx context.Context, tx *sql.Tx, parameters map[string]string, each func(row) error) (names []string, err error) {
	defer func() { err = q.failed(err) }()
	rows, err := tx.QueryContext(ctx, q.text, q.arguments(parameters)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err has it
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	for _, t := range types {
		names = append(names, strings.ToLower(t.Name()))
	}
	if err := q.columns.check(names); err != nil {
		return nil, told(err)
	}
	cells, pointers := make([]any, len(names)), make([]any, len(names))
	for i := range cells {
		pointers[i] = &cells[i]
	}
	for n := 1; rows.Next(); n++ {
		if n > q.maxRows {
			return nil, unreadable("expected at most %d rows, found more", q.maxRows)
		}
		if err := rows.Scan(pointers...); err != nil {
			return nil, err
		}
		r := row{}
		for i, name := range names {
			if r[name], err = value(cells[i], types[i].DatabaseTypeName()); err != nil {
				return nil, unreadable("row %d: %s: %v", n, name, err)
			}
		}
		if err := each(r); err != nil {
			return nil, unreadable("row %d: %v", n, err)
		}
	}
	return names, rows.Err()
}

// value turns a driver's value into one that package jq reads. Times of day without a
// zone are in UTC.
func value(v any, typeName string) (any, error) {
	switch v := v.(type) {
	case nil, bool, float64:
		return v, nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case uint64:
		return json.Number(strconv.FormatUint(v, 10)), nil
	case float32:
		return float64(v), nil
	case time.Time:
		if v.IsZero() { // MariaDB's 0000-00-00
			return nil, errors.New("expected a time, or NULL, found zero")
		}
		if typeName == "DATE" {
			return v.Format(time.DateOnly), nil
		}
		return v.UTC().Format(time.RFC3339Nano), nil
	case []byte:
		return text(string(v), typeName)
	case string:
		return text(v, typeName)
	}
	return nil, fmt.Errorf("expected text, a number, a time, or true or false, found a column of type %s", typeName)
}

func text(s, typeName string) (any, error) {
	switch {
	case s == "infinity" && (typeName == "DATE" || strings.HasPrefix(typeName, "TIMESTAMP")):
		return nil, nil // PostgreSQL's never
	case strings.HasPrefix(typeName, "_"):
		return nil, errors.New("expected one value, found an array; write array_to_string(COLUMN, ' ')")
	case len(s) > maxValue:
		return nil, fmt.Errorf("expected at most %d bytes, found %d", maxValue, len(s))
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return nil, errors.New("expected text in UTF-8, found other bytes")
	}
	return s, nil
}

// A secret is one row of the query account.
type secret struct {
	subject, user, hash, name, reason string
	ends                              time.Time
}

func parseSecret(r row) (s secret, err error) {
	for column, field := range map[string]*string{"subject": &s.subject, "user": &s.user, "name": &s.name} {
		if *field, err = r.label(column, column == "subject"); err != nil {
			return secret{}, fmt.Errorf("%s: %w", column, err)
		}
	}
	for column, field := range map[string]*string{"hash": &s.hash, "reason": &s.reason} {
		text, ok := r[column].(string)
		if *field = text; !ok && (column == "hash" || r[column] != nil) {
			return secret{}, fmt.Errorf("%s: expected text, found %s", column, typeOf(r[column]))
		}
	}
	if s.ends, err = jq.ParseEnd(r["ends"]); err != nil {
		return secret{}, fmt.Errorf("ends: %w", err)
	}
	return s, nil
}

// label reads a short text or a number.
func (r row) label(column string, required bool) (string, error) {
	label := ""
	switch v := r[column].(type) {
	case string:
		label = v
	case json.Number:
		label = v.String()
	case nil:
	default:
		return "", fmt.Errorf("expected text or a whole number, found %s", typeOf(v))
	}
	switch {
	case label == "" && required:
		return "", fmt.Errorf("expected 1 to %d bytes, found %s", maxText, typeOf(r[column]))
	case len(label) > maxText:
		return "", fmt.Errorf("expected at most %d bytes, found %d", maxText, len(label))
	case strings.ContainsFunc(label, unicode.IsControl):
		return "", errors.New("expected text without control characters")
	}
	return label, nil
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		if v == "" {
			return "empty text"
		}
		return "text"
	case bool:
		return "true or false"
	}
	return "a number"
}

// parseGrants reads one row of the query grants. Its tags are patterns with spaces or
// commas between them.
func parseGrants(r row) ([]auth.Grant, error) {
	if tags, ok := r["tags"].(string); ok {
		if strings.ContainsAny(tags, `"{}`) {
			return nil, errors.New("tags: expected patterns separated by spaces, found JSON or an array")
		}
		patterns := []any{}
		for pattern := range strings.FieldsFuncSeq(tags, func(c rune) bool { return c == ' ' || c == ',' || c == '\n' || c == '\r' || c == '\t' }) {
			patterns = append(patterns, pattern)
		}
		r["tags"] = patterns
	}
	if withdrawn, ok := r["withdrawn"].(json.Number); ok && (withdrawn == "0" || withdrawn == "1") { // MariaDB's BOOLEAN
		r["withdrawn"] = withdrawn == "1"
	}
	if expires, ok := r["expires"].(float64); ok {
		r["expires"] = json.Number(strconv.FormatFloat(expires, 'f', -1, 64))
	}
	return jq.ParseGrants(map[string]any(r))
}
