// Package jq reads a source's answers with jq expressions from the configuration:
// an account's id or e-mail (jq.go), and the grants of its licenses (grants.go).
// Package auth/web fetches the answers.
//
// No error of this package quotes an answer, since errors are logged and answers
// are the customer's.
package jq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/itchyny/gojq"
)

// maxText bounds an id or an e-mail, in bytes.
const maxText = 255

// An Expression is a compiled jq program. It reads no files, no environment
// and no modules, and ends with its context.
type Expression struct {
	source string
	code   *gojq.Code
	values []any // of its variables
}

// Compile compiles an expression of the jq language, as gojq has it
// (https://github.com/itchyny/gojq#difference-to-jq). Variables are names such as
// $status, whose values With sets.
func Compile(source string, variables ...string) (*Expression, error) {
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("expected a jq expression: %w", err)
	}
	code, err := gojq.Compile(query, gojq.WithEnvironLoader(func() []string { return nil }), gojq.WithVariables(variables))
	if err != nil {
		return nil, fmt.Errorf("expected a jq expression: %w", err)
	}
	return &Expression{source: source, code: code}, nil
}

// With returns the expression with the values of its variables, in their order.
func (e *Expression) With(values ...any) *Expression {
	return &Expression{source: e.source, code: e.code, values: values}
}

// String returns the expression as it was written.
func (e *Expression) String() string { return e.source }

// Decode reads one JSON value and nothing behind it, as an input for an
// Expression. Numbers keep all their digits.
func Decode(body []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, errors.New("expected JSON, found something else")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected one JSON value, found more after it")
	}
	return value, nil
}

// Text returns the one text that the expression makes of input: 1 to 255
// bytes, without spaces around it.
func (e *Expression) Text(ctx context.Context, input any) (string, error) {
	value, err := e.one(ctx, input)
	if err != nil {
		return "", err
	}
	if _, ok := value.(string); !ok {
		return "", fmt.Errorf("expected the jq expression to give text, found %s", gojq.TypeOf(value))
	}
	return parseID(value)
}

// ID is Text that may be a number as well.
func (e *Expression) ID(ctx context.Context, input any) (string, error) {
	value, err := e.one(ctx, input)
	if err != nil {
		return "", err
	}
	return parseID(value)
}

// Optional is ID that may be longer, of at most limit bytes, or missing: null, empty
// text, or no value at all.
func (e *Expression) Optional(ctx context.Context, input any, limit int) (string, error) {
	value, err := e.one(ctx, input)
	if errors.Is(err, errNone) || err == nil && (value == nil || value == "") {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return parseText(value, limit)
}

// Truth returns the one true or false that the expression makes of input.
func (e *Expression) Truth(ctx context.Context, input any) (bool, error) {
	value, err := e.one(ctx, input)
	if err != nil {
		return false, err
	}
	truth, ok := value.(bool)
	if !ok {
		return false, fmt.Errorf("expected the jq expression to give true or false, found %s", gojq.TypeOf(value))
	}
	return truth, nil
}

// List returns the one array that the expression makes of input.
func (e *Expression) List(ctx context.Context, input any) ([]any, error) {
	value, err := e.one(ctx, input)
	if err != nil {
		return nil, err
	}
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("expected the jq expression to give an array, found %s", gojq.TypeOf(value))
	}
	return list, nil
}

// Time returns the end that the expression makes of input, as a grant's expires; zero
// for never.
func (e *Expression) Time(ctx context.Context, input any) (time.Time, error) {
	value, err := e.one(ctx, input)
	if err != nil {
		return time.Time{}, err
	}
	return parseExpires(value)
}

func parseID(value any) (string, error) { return parseText(value, maxText) }

func parseText(value any, limit int) (text string, err error) {
	switch kind := gojq.TypeOf(value); kind {
	case "string":
		text = strings.TrimSpace(value.(string))
	case "number":
		digits, err := gojq.Marshal(value)
		if err != nil {
			return "", err
		}
		text = string(digits)
	default:
		return "", fmt.Errorf("expected text or a number, found %s", kind)
	}
	if text == "" || len(text) > limit {
		return "", fmt.Errorf("expected 1 to %d bytes, found %d", limit, len(text))
	}
	return text, nil
}

var errNone = errors.New("expected the jq expression to give one value, found none")

// one returns the one value that the expression makes of input.
func (e *Expression) one(ctx context.Context, input any) (any, error) {
	var found []any
	err := e.each(ctx, input, func(value any) error {
		if found = append(found, value); len(found) > 1 {
			return errors.New("expected the jq expression to give one value, found more")
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = errNone
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// each calls f with each value that the expression makes of input.
func (e *Expression) each(ctx context.Context, input any, f func(any) error) error {
	results := e.code.RunWithContext(ctx, input, e.values...)
	for {
		value, ok := results.Next()
		if !ok {
			return nil
		}
		if err, ok := value.(error); ok {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return e.failure(err)
		}
		if err := f(value); err != nil {
			return err
		}
	}
}

// failure says what the operator may read of an error of the expression; nil
// if it has halted. gojq's own words quote the answer, and so may the words of
// error(…) in the expression, unless they are a string literal of it.
func (e *Expression) failure(err error) error {
	var halt *gojq.HaltError
	if errors.As(err, &halt) && halt.Value() == nil {
		return nil
	}
	var raised gojq.ValueError
	if errors.As(err, &raised) {
		if text, ok := raised.Value().(string); ok && strings.Contains(e.source, `"`+text+`"`) {
			return errors.New(text)
		}
	}
	return errors.New("the jq expression fails on the answer; run jq on one object of the answer to see why")
}
