package sql

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A query is one of the operator's statements, with the driver's placeholders in
// place of the named parameters.
type query struct {
	name string // account or grants
	text string
	// columns and maxRows bound its answer.
	columns columns
	maxRows int
	// parameters are the names of the arguments, in their order.
	parameters []string
}

// uses says whether the query has a parameter.
func (q *query) uses(parameter string) bool { return slices.Contains(q.parameters, parameter) }

// arguments returns what the driver gets for the parameters.
func (q *query) arguments(values map[string]string) []any {
	list := make([]any, len(q.parameters))
	for i, name := range q.parameters {
		list[i] = values[name]
	}
	return list
}

// A token is one piece of a statement that ends where its form says. Whatever no form
// matches is a single character.
type token struct {
	kind kind
	form *regexp.Regexp
}

type kind int

const (
	other       kind = iota // strings, names, numbers, operators
	space                   // and comments
	parameter               // :user
	placeholder             // ? and $1, which only the driver may write
	broken                  // a quote or comment that does not end
)

func form(text string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + text + `)`) }

// The tokens of a dialect, the first that matches wins. A name swallows its digits
// and dollars, so that a$1 has no placeholder in it, and :: its second colon.
var (
	// https://www.postgresql.org/docs/current/sql-syntax-lexical.html, with
	// standard_conforming_strings on, as it is by default and as the driver
	// requires. Block comments nest, and dollar quotes name their end: see
	// postgresToken.
	postgresTokens = []token{
		{space, form(`\s+|--[^\n]*`)},
		{broken, form(`/\*`)}, // one that ends is found before
		{other, form(`[eE]'(?:[^'\\]|\\(?s:.)|'')*'`)},
		{broken, form(`[eE]'`)},
		{other, form(`'(?:[^']|'')*'|"(?:[^"]|"")*"`)},
		{broken, form(`['"]`)},
		{placeholder, form(`\$[0-9]+`)},
		{broken, form(`\$(?:[A-Za-z_\x{80}-\x{10ffff}][A-Za-z0-9_\x{80}-\x{10ffff}]*)?\$`)}, // likewise
		{other, form(`::|:=`)},
		{parameter, form(`:[A-Za-z_][A-Za-z0-9_]*`)},
		{other, form(`[A-Za-z_\x{80}-\x{10ffff}][A-Za-z0-9_$\x{80}-\x{10ffff}]*|[0-9]+`)},
	}
	// https://dev.mysql.com/doc/refman/8.4/en/string-literals.html and
	// …/comments.html. A backslash escapes or not, depending on the server's
	// sql_mode, so it is refused in quotes.
	mysqlTokens = []token{
		{broken, form(`/\*M?!`)}, // the server runs what is in such a comment
		{space, form(`\s+|--(?:[ \t\r][^\n]*|\n|$)|#[^\n]*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/`)},
		{broken, form(`/\*`)},
		{other, form("'(?:[^'\\\\]|'')*'|\"(?:[^\"\\\\]|\"\")*\"|`(?:[^`]|``)*`")},
		{broken, form("['\"`]")},
		{placeholder, form(`\?`)},
		{other, form(`:=`)},
		{parameter, form(`:[A-Za-z_][A-Za-z0-9_]*`)},
		{other, form(`[A-Za-z0-9_$\x{80}-\x{10ffff}]+`)},
	}
	dollarQuote = form(`\$(?:[A-Za-z_\x{80}-\x{10ffff}][A-Za-z0-9_\x{80}-\x{10ffff}]*)?\$`)
)

// next splits the first token from a text that is not empty.
func (d dialect) next(text string) (kind, int) {
	if d.postgres {
		if n := nestedComment(text); n > 0 {
			return space, n
		}
		if tag := dollarQuote.FindString(text); tag != "" {
			if end := strings.Index(text[len(tag):], tag); end >= 0 {
				return other, len(tag) + end + len(tag)
			}
		}
	}
	for _, t := range d.tokens {
		if found := t.form.FindString(text); found != "" {
			return t.kind, len(found)
		}
	}
	_, size := utf8.DecodeRuneInString(text)
	return other, size
}

// nestedComment is the length of the block comment at the beginning of text; 0 if
// there is none, or it does not end.
func nestedComment(text string) int {
	if !strings.HasPrefix(text, "/*") {
		return 0
	}
	depth := 0
	for i := 0; i+1 < len(text); i++ {
		switch text[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			return i + 1
		}
	}
	return 0
}

// parse reads one of the operator's statements into q: a single SELECT, with at least
// one of the parameters, outside of quotes and comments.
func (d dialect) parse(q *query, text string, parameters ...string) error {
	if i := strings.IndexFunc(text, func(r rune) bool { return r == utf8.RuneError || r < ' ' && !strings.ContainsRune("\t\n\r", r) }); i >= 0 {
		return fmt.Errorf("expected UTF-8 without control characters, found another byte at %d", i)
	}
	var out strings.Builder
	first, ended := "", false
	for rest := text; rest != ""; {
		kind, size := d.next(rest)
		piece := rest[:size]
		rest = rest[size:]
		switch {
		case kind == space:
			out.WriteString(piece)
			continue
		case ended:
			return errors.New("expected one statement, found more after its semicolon")
		case kind == broken:
			return fmt.Errorf("expected quotes and comments that end, and without backslashes (MySQL), found %.20q", piece+rest)
		case kind == placeholder:
			return fmt.Errorf("expected named parameters such as :user, found %s", piece)
		case kind == parameter && !slices.Contains(parameters, piece[1:]):
			return fmt.Errorf("expected the parameters :%s, found %s; if it is none, write a space after the colon", strings.Join(parameters, ", :"), piece)
		case kind == parameter:
			q.parameters = append(q.parameters, piece[1:])
			piece = d.placeholder(len(q.parameters))
		case strings.EqualFold(piece, "into"):
			return errors.New("expected a statement that only reads, found INTO")
		case piece == ";":
			ended = true
			continue
		}
		if first == "" && piece != "(" {
			first = piece
		}
		out.WriteString(piece)
	}
	if !slices.Contains([]string{"select", "with", "values", "table"}, strings.ToLower(first)) {
		return fmt.Errorf("expected a statement that reads: SELECT or WITH, found %.20q", first)
	}
	if !slices.ContainsFunc(parameters, q.uses) {
		return fmt.Errorf("expected the parameter :%s, found none; without it every customer gets the same rows", strings.Join(parameters, " or :"))
	}
	q.text = strings.TrimSpace(out.String())
	return nil
}
