package file

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pullgate/pullgate/authsvc/auth/password"
)

// Bounds of a file of users.
const (
	maxUsersFile = 32 << 20 // bytes
	maxUsers     = 100_000
	maxLine      = 1024 // bytes
	maxUser      = 255  // bytes
)

// users are the hashes of passwords, by user.
type users map[string]string

// parseUsers reads an htpasswd file: a line for each user, with the user, a colon,
// and the hash; behind another colon, a comment. Empty lines and lines that begin
// with # are skipped. A user who is in two lines is an error: Apache would take the
// first, and others the last.
func parseUsers(content []byte) (users, error) {
	if len(content) == 0 {
		return nil, errors.New("expected a line for each user, found an empty file; to have no users, write a line that begins with #")
	}
	all := users{}
	lines := map[string]int{}
	number := 0
	for text := range bytes.Lines(content) {
		number++
		user, hash, err := parseLine(string(bytes.TrimRight(text, "\r\n")))
		switch {
		case err != nil:
			return nil, line(number, err)
		case user == "":
			continue
		case lines[user] > 0:
			return nil, line(number, fmt.Errorf("expected each user once, found %q in line %d too", user, lines[user]))
		case len(all) == maxUsers:
			return nil, line(number, fmt.Errorf("expected at most %d users, found more", maxUsers))
		}
		all[user], lines[user] = hash, number
	}
	return all, nil
}

// parseLine reads one line; the user is empty if there is none. No error quotes the
// line.
func parseLine(text string) (user, hash string, err error) {
	if len(text) > maxLine {
		return "", "", fmt.Errorf("expected at most %d bytes, found %d", maxLine, len(text))
	}
	if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") {
		return "", "", nil
	}
	user, rest, found := strings.Cut(text, ":")
	if !found {
		return "", "", errors.New("expected USER:HASH, found no colon; add users by: htpasswd -B -C 12 FILE USER")
	}
	if err := checkUser(user); err != nil {
		return "", "", err
	}
	hash, _, _ = strings.Cut(rest, ":")
	if err := password.Validate(hash, true); err != nil {
		return "", "", fmt.Errorf("%w; set the password again by: htpasswd -B -C 12 FILE USER", err)
	}
	return user, hash, nil
}

// checkUser refuses what nobody can type into docker login, such as a byte order
// mark at the file's beginning.
func checkUser(user string) error {
	switch {
	case user == "" || len(user) > maxUser:
		return fmt.Errorf("user: expected 1 to %d bytes, found %d", maxUser, len(user))
	case !utf8.ValidString(user):
		return errors.New("user: expected UTF-8, found other bytes")
	case strings.TrimSpace(user) != user:
		return errors.New("user: expected no space at the beginning or the end")
	case strings.ContainsFunc(user, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("user: expected printable characters, found others, such as a byte order mark")
	case strings.Contains(user, ":"):
		return errors.New("user: expected no colon (RFC 7617)")
	}
	return nil
}
