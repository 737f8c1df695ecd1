package sql

import (
	"slices"
	"strings"
	"testing"
)

var (
	postgresDialect = must(newDialect(Config{Driver: "postgres"}))
	mariaDialect    = must(newDialect(Config{Driver: "mariadb"}))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// statements are parsed here, and the good ones by the real servers in
// TestServersAgree. A good one has a want: the driver's text.
var statements = []struct{ postgres, maria, want, wantError string }{
	{postgres: `SELECT :user`, want: `SELECT $1`},
	{maria: `SELECT :user`, want: `SELECT ?`},
	{postgres: `SELECT :user, ':user', ":user" FROM (VALUES (1)) AS t(":user") -- :user`, want: `SELECT $1, ':user', ":user" FROM (VALUES (1)) AS t(":user") -- :user`},
	{maria: "SELECT :user, ':user', \":user\", t.`:user` FROM (SELECT 1 AS `:user`) t -- :user", want: "SELECT ?, ':user', \":user\", t.`:user` FROM (SELECT 1 AS `:user`) t -- :user"},
	{postgres: `SELECT 'it''s :user', :user`, want: `SELECT 'it''s :user', $1`},
	{maria: `SELECT 'it''s :user', "a "" :user", :user`, want: `SELECT 'it''s :user', "a "" :user", ?`},
	{postgres: `SELECT E'\':user', e'\\', '\', :user`, want: `SELECT E'\':user', e'\\', '\', $1`},
	{postgres: `SELECT $$:user$$, $a$ $$ :user $b$ $a$, :user`, want: `SELECT $$:user$$, $a$ $$ :user $b$ $a$, $1`},
	{postgres: `SELECT a$1, b$x$, :user FROM (VALUES (1, 2)) AS t(a$1, b$x$)`, want: `SELECT a$1, b$x$, $1 FROM (VALUES (1, 2)) AS t(a$1, b$x$)`},
	{postgres: `SELECT /* /* :user */ ' */ :user`, want: `SELECT /* /* :user */ ' */ $1`},
	{maria: "SELECT /* /* :user ' */ :user # ' :user\n, 1 --\t:user '\n-- \n", want: "SELECT /* /* :user ' */ ? # ' :user\n, 1 --\t:user '\n--"},
	{maria: `SELECT /* ** :user **/ :user`, want: `SELECT /* ** :user **/ ?`},
	{maria: `SELECT 1--1, :user`, want: `SELECT 1--1, ?`},
	{postgres: `SELECT :user::text, '1'::int, (ARRAY[1,2,3])[1:2], (ARRAY[1,2,3])[1: 2]`, want: `SELECT $1::text, '1'::int, (ARRAY[1,2,3])[1:2], (ARRAY[1,2,3])[1: 2]`},
	{postgres: `SELECT make_interval(days := 1), :user`, want: `SELECT make_interval(days := 1), $1`},
	{postgres: `SELECT '{"a":1}'::jsonb ? 'a', :user`, want: `SELECT '{"a":1}'::jsonb ? 'a', $1`},
	{postgres: `SELECT 1 WHERE :user = 'a' OR lower(:user) = 'b';  -- done` + "\n", want: `SELECT 1 WHERE $1 = 'a' OR lower($2) = 'b'  -- done`},
	{postgres: `(SELECT :user) UNION (SELECT 'x')`, want: `(SELECT $1) UNION (SELECT 'x')`},
	{postgres: `with t as (select :user as u) select u from t`, want: `with t as (select $1 as u) select u from t`},
	{postgres: `/* first */ SELECT U&'d\0061t:user', B'01', X'1F', N'n', :user`, want: `/* first */ SELECT U&'d\0061t:user', B'01', X'1F', N'n', $1`},
	{postgres: "SELECT 'ä:user', :user AS größe", want: "SELECT 'ä:user', $1 AS größe"},

	{postgres: ``, wantError: "that reads"},
	{postgres: `-- :user`, wantError: "that reads"},
	{postgres: `DELETE FROM t WHERE u = :user`, wantError: `that reads: SELECT or WITH, found "DELETE"`},
	{maria: `CALL p(:user)`, wantError: "that reads"},
	{postgres: `SELECT 1`, wantError: ":user, found none"},
	{postgres: `SELECT ':user'`, wantError: ":user, found none"},
	{postgres: `SELECT 1 INTO t WHERE :user = 'a'`, wantError: "found INTO"},
	{maria: `SELECT :user INTO OUTFILE '/tmp/x'`, wantError: "found INTO"},
	{postgres: `SELECT :user; DROP TABLE t`, wantError: "after its semicolon"},
	{postgres: `SELECT :user;;`, wantError: "after its semicolon"},
	{postgres: `SELECT :User`, wantError: "found :User"},
	{postgres: `SELECT :username`, wantError: "found :username"},
	{postgres: `SELECT (a)[1:n], :user`, wantError: "a space after the colon"},
	{postgres: `SELECT $1, :user`, wantError: "found $1"},
	{maria: `SELECT ?, :user`, wantError: "found ?"},
	{postgres: `SELECT 'a, :user`, wantError: "quotes and comments that end"},
	{postgres: `SELECT "a, :user`, wantError: "quotes and comments that end"},
	{postgres: `SELECT E'a\', :user`, wantError: "quotes and comments that end"},
	{postgres: `SELECT $a$ $b$, :user`, wantError: "quotes and comments that end"},
	{postgres: `SELECT :user /* /* */`, wantError: "quotes and comments that end"},
	{maria: "SELECT `a, :user", wantError: "quotes and comments that end"},
	{maria: `SELECT 'a\'b', :user`, wantError: "without backslashes"},
	{maria: `SELECT :user /* `, wantError: "quotes and comments that end"},
	{maria: `SELECT :user /*! , 1 */`, wantError: "quotes and comments that end"},
	{maria: `SELECT :user /*M! , 1 */`, wantError: "quotes and comments that end"},
	{postgres: "SELECT :user\x00", wantError: "control characters"},
	{postgres: "SELECT :user, '\xff'", wantError: "UTF-8"},
}

func TestParse(t *testing.T) {
	for _, test := range statements {
		d, text := postgresDialect, test.postgres
		if test.maria != "" {
			d, text = mariaDialect, test.maria
		}
		q := &query{name: "account"}
		err := d.parse(q, text, "user")
		if test.wantError == "" && (err != nil || q.text != test.want) ||
			test.wantError != "" && (err == nil || !strings.Contains(err.Error(), test.wantError)) {
			t.Errorf("%q: got %q, %v; want %q%s", text, q.text, err, test.want, test.wantError)
		}
	}
}

// FuzzParse: nothing panics, and what is accepted is what the operator wrote, but for
// its parameters and its semicolon.
func FuzzParse(f *testing.F) {
	for _, s := range statements {
		f.Add(s.postgres != "", s.postgres+s.maria)
	}
	f.Fuzz(func(t *testing.T, postgres bool, text string) {
		d := mariaDialect
		if postgres {
			d = postgresDialect
		}
		// Markers that no statement has.
		d.placeholder = func(int) string { return "\x00" }
		q := &query{}
		if err := d.parse(q, text, "user", "subject"); err != nil {
			return
		}
		back := q.text
		for _, name := range q.parameters {
			back = strings.Replace(back, "\x00", ":"+name, 1)
		}
		if !slices.Contains(withoutSemicolon(text), back) {
			t.Errorf("%q became %q", text, back)
		}
		if len(q.parameters) == 0 || strings.Contains(back, "\x00") {
			t.Errorf("%q has the parameters %q in %q", text, q.parameters, q.text)
		}
	})
}

// withoutSemicolon returns a text, and it without one of each of its semicolons.
func withoutSemicolon(text string) []string {
	all := []string{strings.TrimSpace(text)}
	for i := range len(text) {
		if text[i] == ';' {
			all = append(all, strings.TrimSpace(text[:i]+text[i+1:]))
		}
	}
	return all
}
