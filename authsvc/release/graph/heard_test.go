package graph_test

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestHeard: when a registry was last heard survives a restart, in which it is not heard,
// and in which a clock that was put back makes it no younger.
func TestHeard(t *testing.T) {
	s := newStore(t, 100)
	s.Unheard("never.example", at(1)) // of one that was never heard, nothing is known
	s.Heard("main", "old.example", at(1))
	s.Heard("main", "new.example", at(9))
	s.Heard("twin", "new.example", at(9))
	s.Heard("main", "new.example", at(8)) // late answers
	s.Heard("main", "old.example", at(8))
	s.Unheard("new.example", at(10))
	file := filepath.Join(t.TempDir(), "releases")
	s.must(s.Save(file))
	for _, now := range []int{20, 5} {
		again := newStore(t, 100)
		again.must(again.Load(file, at(now)))
		want := at(min(9, now))
		if heard, failing := again.LastHeard("new.example"); !heard.Equal(want) || failing {
			t.Errorf("loaded at %d: heard %s, failing: %t; want %s", now, heard, failing, want)
		}
		for _, name := range []string{"main", "twin"} {
			if host, ok := again.Host(name); host != "new.example" || !ok {
				t.Errorf("loaded at %d: the host of %s is %q, %t", now, name, host, ok)
			}
		}
		if again.HeardSince(want) || !again.HeardSince(want.Add(-1)) {
			t.Errorf("loaded at %d: not heard at %s", now, want)
		}
		if heard, _ := again.LastHeard("never.example"); !heard.IsZero() {
			t.Errorf("loaded at %d: one that was never heard was, at %s", now, heard)
		}
	}
	if heard, failing := s.LastHeard("new.example"); !heard.Equal(at(9)) || !failing {
		t.Errorf("heard %s, failing: %t", heard, failing)
	}
	s.Heard("main", "new.example", at(11))
	if _, failing := s.LastHeard("new.example"); failing {
		t.Error("it has answered, and is failing")
	}
	for _, name := range []string{"", "partner"} {
		if host, ok := s.Host(name); ok {
			t.Errorf("%q is at %s", name, host)
		}
	}
}

// TestManyHosts: a file has the registries of former configurations, too; those heard
// longest ago go.
func TestManyHosts(t *testing.T) {
	s := newStore(t, 100)
	for i := range 300 {
		s.Heard("main", fmt.Sprint("host", i), at(1000-i))
	}
	s.Heard("main", "last", at(2000))
	known := 0
	for i := range 300 {
		if heard, _ := s.LastHeard(fmt.Sprint("host", i)); !heard.IsZero() {
			known++
		}
	}
	if known != 255 {
		t.Errorf("%d are known, want 255 and the last", known)
	}
	if heard, _ := s.LastHeard("host0"); heard.IsZero() {
		t.Error("one that was heard later than others is forgotten")
	}
}

// TestRefused: what the registry refuses to tell opens nothing until it tells again, also
// after a restart; late answers change nothing.
func TestRefused(t *testing.T) {
	s := newStore(t, 100)
	s.put("h/a", "1", at(1), "one")
	s.put("h/a", "2", at(1), "two")
	s.put("h/b", "1", at(1), "one")
	s.must(s.Refuse("h/a", "1", at(5)))
	s.must(s.Refuse("h/nowhere", "1", at(5)))
	s.must(s.Bind("h/a", "1", digest("h/a:1"), at(4)))
	check := func(what string, s store) {
		t.Helper()
		s.is(what+": the tag's layer", s.finds("h/a", digest("one"), "*", at(9)), "")
		s.is(what+": another tag's", s.finds("h/a", digest("two"), "*", at(9)), "2")
		s.is(what+": another repository's", s.finds("h/b", digest("one"), "*", at(9)), "1")
		s.is(what+": held", s.Graph("h/a").FindHeld(digest("one"), glob("*"), at(9), at(8), at(0)), "")
		if g := s.Graph("h/a"); !g.Refused() || s.Graph("h/b").Refused() || g.Checked("1", at(0)) || g.Holds(digest("one"), at(0)) {
			t.Errorf("%s: refused %t, another %t; checked %t; held %t", what, g.Refused(), s.Graph("h/b").Refused(), g.Checked("1", at(0)), g.Holds(digest("one"), at(0)))
		}
		if s.Graph("h/nowhere").Generation() != 0 {
			t.Errorf("%s: a repository that is not known takes a place", what)
		}
	}
	restarted := func() store {
		file := filepath.Join(t.TempDir(), "releases")
		s.must(s.Save(file))
		again := newStore(t, 100)
		again.must(again.Load(file, at(9)))
		return again
	}
	check("at once", s)
	check("after a restart", restarted())
	s.must(s.Bind("h/a", "1", digest("h/a:1"), at(6)))
	s.is("told again", s.finds("h/a", digest("one"), "*", at(9)), "1")
	if s.Graph("h/a").Refused() {
		t.Error("told again, and still refused")
	}
	s.must(s.Refuse("h/a", "3", at(7))) // a tag that was never known
	for what, s := range map[string]store{"at once": s, "after a restart": restarted()} {
		if !s.Graph("h/a").Refused() {
			t.Errorf("%s: another tag is refused, and the repository is not", what)
		}
	}
	s.must(s.Unbind("h/a", "1", at(8)))
	s.must(s.Refuse("h/a", "1", at(7)))
	s.is("deleted after it was refused", s.finds("h/a", digest("one"), "*", at(9)), "1")
}

// TestFindHeld: what a tag has holds longer than what it had.
func TestFindHeld(t *testing.T) {
	s := newStore(t, 100)
	s.put("a", "moved", at(1), "old")
	s.must(s.Bind("a", "moved", digest("new"), at(2)))
	s.put("a", "gone", at(1), "gone")
	s.must(s.Unbind("a", "gone", at(2)))
	s.put("a", "kept", at(1), "kept")
	for name, want := range map[string]string{"new": "moved", "kept": "kept", "old": "", "gone": "", "a:moved": "", "a:kept": "kept"} {
		for range 2 {
			s.is(name, s.Graph("a").FindHeld(digest(name), glob("*"), at(9), at(5), at(0)), want)
			s.is("peeked: "+name, s.Graph("a").PeekHeld(digest(name), glob("*"), at(5), at(0)), want)
		}
		s.is("too old: "+name, s.Graph("a").FindHeld(digest(name), glob("*"), at(9), at(5), at(3)), "")
	}
}
