package file

import (
	"strings"
	"testing"
	"time"
)

// FuzzUsers: whatever is in an htpasswd file, nothing panics, all users can be
// typed, and no error quotes a hash.
func FuzzUsers(f *testing.F) {
	const hash = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
	for _, seed := range []string{"ann:" + hash + "\n", "#\n\nann:" + hash + ":comment\r\nbob:" + hash, "ann:" + hash[:20], "ann", ":", "ann:$apr1$abcdefgh$", "\xff\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		all, err := parseUsers(content)
		if err != nil {
			if strings.Contains(err.Error(), "abcdefghijkl") {
				t.Errorf("the error quotes the file: %v", err)
			}
			return
		}
		for user, hash := range all {
			if checkUser(user) != nil || !strings.HasPrefix(hash, "$") || !strings.Contains(string(content), user+":"+hash) {
				t.Errorf("%q has %q", user, hash)
			}
		}
	})
}

// FuzzAccounts: whatever is in a file of grants, nothing panics, and no grant is
// without one of its parts or outlives its account.
func FuzzAccounts(f *testing.F) {
	for _, seed := range []string{
		"ann: {grants: [{repository: a, tags: [b, c], expires: 2027-01-31, license: 7, withdrawn: true}], ends: 2026-12-31, suspended: why}\n",
		"a: &a {grants: &g []}\nb: *a\nc: {grants: *g}", "a: {grants: [*a]}", "<<: {}", "{}", "---\n", "- a", "? {a: b}\n: c", "a: !!binary aGk=\n", "a: {grants: [{tags: !!set {a, b}}]}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		all, err := parseAccounts(content)
		if err != nil {
			return
		}
		for user, a := range all {
			if checkUser(user) != nil {
				t.Errorf("user %q", user)
			}
			for g := range a.grants.All() {
				if g.Repository.String() == "" || g.Tag.String() == "" || g.License == "" || !a.ends.IsZero() && g.ValidAt(a.ends.Add(time.Nanosecond)) {
					t.Errorf("%q gives %+v", content, g)
				}
			}
		}
	})
}
