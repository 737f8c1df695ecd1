package file_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/auth/file"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// Both hashes are of other programs: of "secret", and of "password".
const (
	bcryptHash = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
	argonHash  = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
)

const usersText = "# customers\n\nann@acme.example:" + bcryptHash + "\nbob:" + argonHash + ":Bob, support\r\nsue:" + bcryptHash + "\nold:" + bcryptHash + "\nbare:" + bcryptHash + "\n"

const grantsText = `# who may pull what
ann@acme.example:
  grants:
    - &appliance {repository: vendor/appliance, tags: ["1.*", latest], expires: 2999-01-31, license: A-17}
    - {repository: vendor/tools, tags: "5.1", expires: null, license: 18, withdrawn: true}
bob:
  ends: 2998-12-31
  grants: [*appliance]
sue:
  suspended: "the invoice\nof June is unpaid"
  grants: [*appliance]
old:
  ends: 2001-01-31
  grants: [*appliance]
`

// patience is how long a test waits for what will happen; no test measures it.
const patience = 30 * time.Second

// A world is a source with its files, and what an operator sees of it.
type world struct {
	users, grants string
	auth.Made
	mu     sync.Mutex
	faults map[string]string
	log    bytes.Buffer
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// fault is what is wrong with a file, and whether anything was said about it.
func (w *world) fault(setting string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, known := w.faults[setting]
	return text, known
}

func (w *world) env() auth.Environment {
	return auth.Environment{
		Logger: slog.New(slog.NewTextHandler(w, nil)), Observe: func(context.Context, string, time.Duration) {},
		Fault: func(what string, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.faults[what] = ""; err != nil {
				w.faults[what] = err.Error()
			}
		},
	}
}

// start makes a source of the files that have a content.
func start(t testing.TB, users, grants string) (*world, error) {
	t.Helper()
	dir := t.TempDir()
	w := &world{users: filepath.Join(dir, "users.htpasswd"), grants: filepath.Join(dir, "grants.yaml"), faults: map[string]string{}}
	c := file.Config{UsersFile: w.users, GrantsFile: w.grants}
	for path, content := range map[*string]string{&c.UsersFile: users, &c.GrantsFile: grants} {
		if content == "" {
			*path = ""
		} else if err := os.WriteFile(*path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.Made, err = c.New(t.Context(), w.env())
	return w, err
}

func run(t testing.TB, users, grants string) *world {
	t.Helper()
	w, err := start(t, users, grants)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// ask logs in.
func (w *world) ask(t testing.TB, user, secret string) auth.Decision {
	t.Helper()
	decision, err := w.Source.Authenticate(t.Context(), credential.Credential{User: user, Secret: credential.NewSecret(secret)})
	if err != nil {
		t.Fatal(err)
	}
	return decision
}

func describe(d auth.Decision) string {
	if d.Refusal != "" {
		return strings.TrimSuffix(string(d.Refusal)+": "+d.Reason, ": ")
	}
	text := d.Subject + " as " + d.User
	if !d.Ends.IsZero() {
		text += " until " + d.Ends.UTC().Format(time.DateOnly)
	}
	return text + ":" + list(d.Grants)
}

func list(grants auth.Grants) (text string) {
	for g := range grants.All() {
		text += fmt.Sprintf(" %s:%s/%s", g.Repository, g.Tag, g.License)
		switch {
		case g.Withdrawn:
			text += "/withdrawn"
		case !g.Expires.IsZero():
			text += "/" + g.Expires.UTC().Format(time.DateOnly)
		}
	}
	return text
}

func TestAuthenticate(t *testing.T) {
	w := run(t, usersText, grantsText)
	const ann = "ann@acme.example as ann@acme.example: vendor/appliance:1.*/A-17/2999-02-01 vendor/appliance:latest/A-17/2999-02-01 vendor/tools:5.1/18/withdrawn"
	for _, test := range []struct{ user, secret, want string }{
		{"ann@acme.example", "secret", ann},
		{"ann@acme.example", "Secret", "credential"},
		{"ann@acme.example", bcryptHash, "credential"},
		{"ann@acme.example", strings.Repeat("secret", 13), "credential"},
		{"Ann@Acme.example", "secret", "not mine"}, // as other readers of htpasswd have it
		{"bob", "password", "bob as bob until 2999-01-01: vendor/appliance:1.*/A-17/2999-01-01 vendor/appliance:latest/A-17/2999-01-01"},
		{"bob", "secret", "credential"},
		{"sue", "secret", "credential: account suspended: the invoice of June is unpaid"},
		{"sue", "wrong", "credential"},
		{"old", "secret", "credential: the account ended on 2001-01-31"},
		{"old", "wrong", "credential"},
		{"bare", "secret", "bare as bare:"},
		{"nobody", "secret", "not mine"},
		{"# customers", "", "not mine"},
		{"", "", "not mine"},
		{"ann@acme.example:" + bcryptHash, "secret", "not mine"},
		{"' OR 1=1 --", "secret", "not mine"},
	} {
		if got := describe(w.ask(t, test.user, test.secret)); got != test.want {
			t.Errorf("%s with %q: %s, want %s", test.user, test.secret, got, test.want)
		}
	}
	if w.Source.Bearer() || !w.Licensed || w.Check != nil {
		t.Errorf("%+v", w.Made)
	}
}

// TestOneFile: either file can stand alone.
func TestOneFile(t *testing.T) {
	users := run(t, usersText, "")
	if got := describe(users.ask(t, "sue", "secret")); got != "sue as sue:" || users.Licensed || users.Licenses != nil {
		t.Errorf("users alone: %s, %+v", got, users.Made)
	}
	grants := run(t, "", grantsText)
	if grants.Source != nil {
		t.Error("grants alone check no secrets")
	}
	for _, test := range []struct {
		who  auth.Account
		want string
	}{
		{auth.Account{User: "bob"}, " vendor/appliance:1.*/A-17/2999-01-01 vendor/appliance:latest/A-17/2999-01-01"},
		{auth.Account{Subject: "bob"}, " vendor/appliance:1.*/A-17/2999-01-01 vendor/appliance:latest/A-17/2999-01-01"},
		{auth.Account{Subject: "bob", User: "nobody"}, ""},
		{auth.Account{User: "old"}, " vendor/appliance:1.*/A-17/2001-02-01 vendor/appliance:latest/A-17/2001-02-01"},
		{auth.Account{User: "sue"}, ""},
		{auth.Account{User: "BOB"}, ""},
		{auth.Account{}, ""},
	} {
		got, err := grants.Licenses.Grants(t.Context(), test.who)
		if err != nil || list(got) != test.want {
			t.Errorf("%+v: %s, %v; want %s", test.who, list(got), err, test.want)
		}
	}
}

// TestBadFiles: a file that is wrong keeps authsvc from starting, and the error
// leads to the line.
func TestBadFiles(t *testing.T) {
	const grant = "{repository: a, tags: b, expires: null, license: c}"
	for _, test := range []struct{ users, grants, want string }{
		{"ann\n", "", "line 1: expected USER:HASH, found no colon; add users by: htpasswd"},
		{"#\n\nann:secret\n", "", "line 3: expected a hash of bcrypt"},
		{"ann:$apr1$saltsalt$w5fyQO9gVHNnOYwL.Wq7C1\n", "", "line 1: expected a hash of bcrypt ($2y$) or argon2id ($argon2id$), found MD5"},
		{"ann:$apr1$saltsalt$w5fyQO9gVHNnOYwL.Wq7C1\n", "", "found MD5 (Apache's); set the password again by: htpasswd -B -C 12 FILE USER"},
		{"ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", "", "found SHA-1"},
		{"ann:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1\n", "", "line 1: expected a hash of bcrypt ($2y$) or argon2id ($argon2id$), found SHA-512 crypt"},
		{"ann:sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n", "", "line 1: expected a hash of bcrypt ($2y$) or argon2id ($argon2id$), found another scheme, or plain text; set"},
		{"ann:" + strings.Replace(bcryptHash, "$05$", "$04$", 1) + "\n", "", "cost of at least 5"},
		{"ann:" + bcryptHash[:50] + "\n", "", "line 1: expected a hash of bcrypt like"},
		{"ann:" + bcryptHash + "\nbob:" + bcryptHash + "\nann:" + argonHash + "\n", "", `line 3: expected each user once, found "ann" in line 1 too`},
		{":" + bcryptHash + "\n", "", "line 1: user: expected 1 to 255 bytes, found 0"},
		{"\ufeffann:" + bcryptHash + "\n", "", "line 1: user: expected printable characters"},
		{"a\xffnn:" + bcryptHash + "\n", "", "line 1: user: expected UTF-8"},
		{" ann:" + bcryptHash + "\n", "", "line 1: user: expected no space"},
		{strings.Repeat("a", 2000) + ":" + bcryptHash + "\n", "", "line 1: expected at most 1024 bytes"},
		{"\x00\x00", "", "line 1: expected USER:HASH"},
		{"", "# nothing\n", "found comments alone"},
		{"", "\n", "found an empty file"},
		{"", "- ann\n", "line 1: expected the users, each with grants, found a list"},
		{"", "ann:\n", "line 1: expected grants, and optionally ends and suspended, found nothing (user \"ann\")"},
		{"", "ann: {grant: []}\n", `line 1: expected the keys grants, ends and suspended, found "grant" (user "ann")`},
		{"", "ann: {ends: 2027-01-31}\n", `expected the key "grants"`},
		{"", "ann:\n  grants:\n  - " + grant + "\n  ends: 31.1.2027\n", "line 4: ends: expected an RFC 3339 time or a day"},
		{"", "ann: {grants: [], ends: null}\n", "ends: expected a day or a time, found nothing"},
		{"", "ann: {grants: [], suspended: true}\n", "suspended: expected the reason as text"},
		{"", "ann: {grants: [], suspended: ''}\n", "suspended: expected the reason as text"},
		{"", "ann: {grants: {}}\n", "grants: expected a list, found keys with values"},
		{"", "ann:\n  grants: [a]\n", "line 2: expected the keys of a grant, found a plain value"},
		{"", "ann:\n  grants:\n  - repository: a\n    tags: b\n    expires: null\n", `line 3: expected the key "license", found none`},
		{"", "ann:\n  grants:\n  - repository: a\n    tags: b\n    expires: tomorrow\n    license: c\n", `line 5: expires: expected an RFC 3339 time`},
		{"", "ann:\n  grants:\n  - repository: a\n    tags: 1.10\n    expires: null\n    license: c\n", `line 4: tags: expected a pattern, found number`},
		{"", "ann:\n  grants: [{repository: a, tags: b, expires: null, license: 017}]\n", "write text in quotes"},
		{"", "ann:\n  grants: [{repository: '[!a]', tags: b, expires: null, license: c}]\n", "line 2: repository: pattern"},
		{"", "ann:\n  grants: [{repository: a, tags: b, expires: null, license: c, tag: d}]\n", "found another key"},
		{"", "ann:\n  grants: [{repository: a, tags: b, expires: null, license: c, withdrawn: 'no'}]\n", "withdrawn: expected true or false"},
		{"", "ann:\n  grants: [{repository: a, repository: b, tags: b, expires: null, license: c}]\n", "line 2: expected each key once"},
		{"", "ann: {grants: []}\nbob: {grants: []}\nann: {grants: []}\n", `line 3: expected each key once, found "ann" in line 1 too`},
		{"", "ann: {grants: []}\n---\nbob: {grants: []}\n", "expected one YAML document"},
		{"", "ann: &a {grants: [], <<: *a}\n", "merge key"},
		{"", "ann: {grants: [*nothing]}\n", "unknown anchor"},
		{"", "ann: &a {grants: &b [*b]}\n", "expected the keys of a grant"},
		{"", "ann: {grants: [\n", "line 2: did not find"},
		{"", "ann: {grants: [}\n", "line 1: did not find"},
		{"", "ann: {grants: []}\nbob: grants: []\n", "line 2: mapping values"},
		{"", "bob: grants: []\n", "line 1: mapping values"},
		{"", "ann:\n\tgrants: []\n", "line 2: found character that cannot start"},
		{"", "? [ann]\n: {grants: []}\n", "expected text before the colon, found a list"},
		{"", "ann: {grants: [" + strings.Repeat(grant+",", 10_001) + "]}\n", "expected at most 10000 for a user"},
	} {
		_, err := start(t, test.users, test.grants)
		setting := "users_file: "
		if test.users == "" {
			setting = "grants_file: "
		}
		if err == nil || !strings.HasPrefix(err.Error(), setting) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.80q%.80q: %v, want %s", test.users, test.grants, err, test.want)
			continue
		}
		for _, hash := range []string{"abcdefgh", "w5fyQO9gVHNn", "c29tZXNhbHQ", "5en6G6MezRr", "secret"} {
			if strings.Contains(err.Error(), hash) {
				t.Errorf("the error shows a hash or a password: %v", err)
			}
		}
	}
	for _, c := range []file.Config{{UsersFile: "/nowhere/users"}, {GrantsFile: t.TempDir()}} {
		if _, err := c.New(t.Context(), (&world{faults: map[string]string{}}).env()); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

// TestTooMany: the bounds of both files.
func TestTooMany(t *testing.T) {
	var users, grants strings.Builder
	for i := range 100_001 {
		fmt.Fprintf(&users, "u%d:%s\n", i, bcryptHash)
		fmt.Fprintf(&grants, "u%d: {grants: []}\n", i)
	}
	if _, err := start(t, users.String(), ""); err == nil || !strings.Contains(err.Error(), "line 100001: expected at most 100000 users") {
		t.Errorf("users: %v", err)
	}
	if _, err := start(t, "", grants.String()); err == nil || !strings.Contains(err.Error(), "line 100001: expected at most 100000 users") {
		t.Errorf("grants: %v", err)
	}
	bomb := "u: {grants: &g [" + strings.Repeat("{repository: a, tags: b, expires: null, license: c},", 10_000) + "]}\n"
	for i := range 30 {
		bomb += fmt.Sprintf("u%d: {grants: *g}\n", i)
	}
	if _, err := start(t, "", bomb); err == nil || !strings.Contains(err.Error(), "at most 300000 grants in the file") {
		t.Errorf("aliases: %v", err)
	}
}

// TestChain: a user whom the file does not have is asked about elsewhere; a wrong
// password of one whom it has is not.
func TestChain(t *testing.T) {
	first := authtest.NewCache(run(t, "ann:"+bcryptHash+"\n", grantsText).Source, auth.CacheConfig{TTL: time.Minute, RefusalTTL: time.Minute, MaxEntries: 10, MaxRefusals: 10})
	second := authtest.NewCache(run(t, "ann:"+argonHash+"\nbob:"+argonHash+"\n", grantsText).Source, auth.CacheConfig{TTL: time.Minute, RefusalTTL: time.Minute, MaxEntries: 10, MaxRefusals: 10})
	chain := auth.Chain{{Cache: first}, {Cache: second}}
	for user, want := range map[string]auth.Refusal{"ann": auth.WrongCredential, "bob": "", "nobody": auth.WrongCredential} {
		decision, err := chain.Authenticate(t.Context(), auth.Caller{Credential: credential.Credential{User: user, Secret: credential.NewSecret("password")}})
		if err != nil || decision.Refusal != want {
			t.Errorf("%s: %+v, %v", user, decision, err)
		}
	}
}
