package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
)

// Bounds of a file of grants.
const (
	maxGrantsFile    = 16 << 20 // bytes
	maxAccounts      = 100_000
	maxAccountGrants = 10_000
	maxGrants        = 300_000 // anchors make many of few bytes
)

// An account is what the file has about a user.
type account struct {
	grants auth.Grants
	// suspended is the reason why the user is refused; empty if not.
	suspended string
	ends      time.Time // zero for never
}

// accounts are by user.
type accounts map[string]account

// parseAccounts reads a file of grants: a mapping of users to
//
//	grants     a list of {repository, tags, expires, license, withdrawn}, as
//	           jq.ParseGrants reads them
//	ends       the account's end, as a grant's expires; may be absent
//	suspended  why the user is refused, for the user to read; may be absent
//
// Unknown keys and users who are there twice are errors. Anchors and aliases work;
// merge keys (<<) do not.
func parseAccounts(content []byte) (accounts, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, errors.New("expected users and their grants, found an empty file; to have none, write {}")
	}
	root, err := parseYAML(content)
	if err != nil {
		return nil, err
	}
	all := accounts{}
	total := 0
	err = eachKey(root, "the users, each with grants", func(key, value *yaml.Node) error {
		if err := checkUser(key.Value); err != nil {
			return line(key.Line, err)
		}
		if len(all) == maxAccounts {
			return line(key.Line, fmt.Errorf("expected at most %d users, found more", maxAccounts))
		}
		a, err := parseAccount(value)
		if err != nil {
			return fmt.Errorf("%w (user %q)", err, key.Value)
		}
		if total += a.grants.Len(); total > maxGrants {
			return line(key.Line, fmt.Errorf("expected at most %d grants in the file, found more", maxGrants))
		}
		all[key.Value] = a
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// parseYAML returns the root of the one document in content.
func parseYAML(content []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, more yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, errors.New("expected users and their grants, found comments alone; to have none, write {}")
	} else if err != nil {
		return nil, syntax(err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected one YAML document, found something after it (---)")
	}
	return document.Content[0], nil
}

var syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntax corrects the line of the YAML parser's error: some errors count lines from
// 0, and do not name that one.
func syntax(err error) error {
	found := syntaxError.FindStringSubmatch(err.Error())
	if found == nil || strings.HasPrefix(found[2], "unknown anchor") {
		return err
	}
	number, _ := strconv.Atoi(found[1])
	if strings.HasPrefix(found[2], "did not find expected") {
		number++
	}
	return line(max(number, 1), errors.New(found[2]))
}

func parseAccount(node *yaml.Node) (a account, err error) {
	var list []auth.Grant
	hasGrants := false
	err = eachKey(node, "grants, and optionally ends and suspended", func(key, value *yaml.Node) error {
		value = follow(value)
		switch key.Value {
		case "grants":
			hasGrants = true
			list, err = parseList(value)
			return err
		case "ends":
			end, err := scalar(value)
			if err == nil {
				a.ends, err = jq.ParseEnd(end)
			}
			if err == nil && a.ends.IsZero() {
				err = errors.New("expected a day or a time, found nothing; leave the key out for never")
			}
			return at(value, "ends", err)
		case "suspended":
			if a.suspended = auth.CleanReason(value.Value); value.ShortTag() != "!!str" || a.suspended == "" {
				return at(value, "suspended", errors.New("expected the reason as text"))
			}
			return nil
		}
		return line(key.Line, fmt.Errorf("expected the keys grants, ends and suspended, found %q", key.Value))
	})
	if err != nil {
		return account{}, err
	}
	if !hasGrants {
		return account{}, line(node.Line, errors.New(`expected the key "grants", found none; for a user without grants, write grants: []`))
	}
	for i, g := range list {
		if !a.ends.IsZero() && (g.Expires.IsZero() || a.ends.Before(g.Expires)) {
			list[i].Expires = a.ends
		}
	}
	a.grants = auth.NewGrants(list...)
	return a, nil
}

func parseList(node *yaml.Node) (list []auth.Grant, err error) {
	if node.Kind != yaml.SequenceNode {
		return nil, line(node.Line, fmt.Errorf("grants: expected a list, found %s", kindOf(node)))
	}
	for _, item := range node.Content {
		item = follow(item)
		grants, err := parseGrant(item)
		if err != nil {
			return nil, err
		}
		if list = append(list, grants...); len(list) > maxAccountGrants {
			return nil, line(item.Line, fmt.Errorf("grants: expected at most %d for a user, found more", maxAccountGrants))
		}
	}
	return list, nil
}

// parseGrant reads one item of a list of grants.
func parseGrant(node *yaml.Node) ([]auth.Grant, error) {
	object := map[string]any{}
	values := map[string]*yaml.Node{}
	err := eachKey(node, "the keys of a grant", func(key, value *yaml.Node) (err error) {
		value = follow(value)
		values[key.Value] = value
		if value.Kind != yaml.SequenceNode {
			object[key.Value], err = scalar(value)
			return at(value, key.Value, err)
		}
		items := make([]any, len(value.Content))
		for i, item := range value.Content {
			if items[i], err = scalar(follow(item)); err != nil {
				return at(item, key.Value, err)
			}
		}
		object[key.Value] = items
		return nil
	})
	if err != nil {
		return nil, err
	}
	grants, err := jq.ParseGrants(object)
	if err != nil {
		number := node.Line
		if key, _, found := strings.Cut(err.Error(), ":"); found && values[key] != nil {
			number = values[key].Line
		}
		return nil, line(number, err)
	}
	return grants, nil
}

// eachKey calls f with each key and value of a mapping. A key that is there twice is
// an error.
func eachKey(node *yaml.Node, expected string, f func(key, value *yaml.Node) error) error {
	node = follow(node)
	if node.Kind != yaml.MappingNode {
		return line(node.Line, fmt.Errorf("expected %s, found %s", expected, kindOf(node)))
	}
	lines := make(map[string]int, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			return line(key.Line, fmt.Errorf("expected text before the colon, found %s", kindOf(key)))
		}
		if lines[key.Value] > 0 {
			return line(key.Line, fmt.Errorf("expected each key once, found %q in line %d too", key.Value, lines[key.Value]))
		}
		lines[key.Value] = key.Line
		if err := f(key, node.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// scalar returns a value as JSON has it. A day (2027-01-31) stays text.
func scalar(node *yaml.Node) (any, error) {
	if node.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("expected a value, found %s", kindOf(node))
	}
	switch node.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var value bool
		err := node.Decode(&value)
		return value, err
	case "!!int", "!!float": // 0017 and 0x11 are numbers in YAML alone
		if !json.Valid([]byte(node.Value)) {
			return nil, errors.New("expected a plain number or text, found a special number; write text in quotes")
		}
		return json.Number(node.Value), nil
	case "!!str", "!!timestamp":
		return node.Value, nil
	}
	return nil, errors.New("expected text, a number, true or false, or null, found another type")
}

// follow returns what an alias stands for.
func follow(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func at(node *yaml.Node, key string, err error) error {
	if err == nil {
		return nil
	}
	return line(node.Line, fmt.Errorf("%s: %w", key, err))
}

func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch node.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!merge":
		return "a merge key (<<)"
	}
	return "a plain value"
}
