package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/file"
)

// await waits until a condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// knows says whether the file of users in force has a user.
func (w *world) knows(t *testing.T, user string) bool {
	return w.ask(t, user, "wrong").Refusal == auth.WrongCredential
}

// TestChanges: what is written into the files counts, however it gets there.
func TestChanges(t *testing.T) {
	w := run(t, "ann:"+bcryptHash+"\n", "ann: {grants: []}\n")
	for i, replace := range []func(content string){
		func(content string) { write(t, w.users, content) },
		func(content string) {
			write(t, w.users+".new", content)
			if err := os.Rename(w.users+".new", w.users); err != nil {
				t.Fatal(err)
			}
		},
		func(content string) {
			if err := os.Remove(w.users); err != nil {
				t.Fatal(err)
			}
			write(t, w.users, content)
		},
	} {
		user := string(rune('a' + i))
		replace(user + ":" + bcryptHash + "\n")
		await(t, "the new user is known", func() bool { return w.knows(t, user) })
		if w.knows(t, "ann") {
			t.Error("a removed user is still known")
		}
	}
	write(t, w.grants, "a: {grants: [{repository: r, tags: t, expires: null, license: l}]}\n")
	await(t, "the new grant counts", func() bool {
		got, err := w.Licenses.Grants(t.Context(), auth.Account{User: "a"})
		return err == nil && list(got) == " r:t/l"
	})
}

// TestKubernetes: a mounted Secret is a symbolic link to a file in a folder that is
// a symbolic link, and only that one is swapped.
func TestKubernetes(t *testing.T) {
	dir := t.TempDir()
	swap := func(name, user string) {
		target := filepath.Join(dir, name)
		if err := os.Mkdir(target, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(target, "users"), user+":"+bcryptHash+"\n")
		if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", "ann")
	path := filepath.Join(dir, "users")
	if err := os.Symlink("..data/users", path); err != nil {
		t.Fatal(err)
	}
	w := &world{faults: map[string]string{}}
	var err error
	if w.Made, err = (file.Config{UsersFile: path}).New(t.Context(), w.env()); err != nil {
		t.Fatal(err)
	}
	if !w.knows(t, "ann") {
		t.Fatal("ann is not known")
	}
	swap("..2", "bob")
	await(t, "the swapped file counts", func() bool { return w.knows(t, "bob") && !w.knows(t, "ann") })
}

// TestBadNewFile: it leaves the old one in force, and says where it is wrong, until
// it is mended.
func TestBadNewFile(t *testing.T) {
	const good = "ann:" + bcryptHash + "\nbob:" + bcryptHash + "\n"
	w := run(t, good, "ann: {grants: []}\n")
	for _, setting := range []string{"users_file", "grants_file"} {
		if text, known := w.fault(setting); text != "" || !known {
			t.Errorf("%s: %q, %v: want a fault that is known to be mended", setting, text, known)
		}
	}
	for _, test := range []struct{ content, want string }{
		{"ann:" + bcryptHash + "\nbob:secret\n", w.users + ": line 2: expected a hash"},
		{good[:len(good)-10], w.users + ": line 2: expected a hash"}, // half written
		{"", w.users + ": expected a line for each user, found an empty file"},
		{"missing", w.users + ": no such file or directory"},
	} {
		if test.content == "missing" {
			if err := os.Remove(w.users); err != nil {
				t.Fatal(err)
			}
		} else {
			write(t, w.users, test.content)
		}
		await(t, test.want, func() bool { text, _ := w.fault("users_file"); return strings.Contains(text, test.want) })
		if !w.knows(t, "ann") || !w.knows(t, "bob") {
			t.Errorf("%s: the old file is not in force", test.want)
		}
	}
	write(t, w.users, good)
	await(t, "the fault is mended", func() bool { text, _ := w.fault("users_file"); return text == "" })
	write(t, w.grants, "ann: {grants: [}\n")
	await(t, "the fault of the grants", func() bool { text, _ := w.fault("grants_file"); return strings.HasPrefix(text, w.grants+": line 1: ") })
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := w.log.String(); !strings.Contains(text, "what it said before stays in force") || strings.Contains(text, "abcdefgh") {
		t.Errorf("log: %s", text)
	}
}

// TestHalfWritten: a file that grows does not count before it is whole, even where
// each part of it is a good file.
func TestHalfWritten(t *testing.T) {
	w := run(t, "ann:"+bcryptHash+"\nbob:"+bcryptHash+"\n", "")
	f, err := os.Create(w.users)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, user := range []string{"ann", "cat", "dan", "eli", "fay", "gus", "bob"} {
		if _, err := f.WriteString(user + ":" + bcryptHash + "\n"); err != nil {
			t.Fatal(err)
		}
		written := time.Now()
		// On a machine that stands still for so long, the file has rested.
		if !w.knows(t, "bob") && time.Since(written) < 300*time.Millisecond {
			t.Fatal("half a file is in force")
		}
		time.Sleep(100 * time.Millisecond)
	}
	await(t, "the whole file counts", func() bool { return w.knows(t, "gus") && w.knows(t, "bob") })
}
