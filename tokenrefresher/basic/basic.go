// Package basic is the source of tokens for a registry that is not ECR: a user and
// a password, each in a file, that never expire. Package ecr is the other source;
// package refresh uses both.
package basic

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// maxFile is the maximum length of a user or password, in bytes. Both together
// fit into tokenfile.MaxToken.
const maxFile = 4 << 10

// A Source reads the token of one registry.
type Source struct{ host, userFile, passwordFile string }

// New makes a Source for the registry at host. It reads nothing yet.
func New(host, userFile, passwordFile string) *Source {
	return &Source{host: host, userFile: userFile, passwordFile: passwordFile}
}

// Fetch reads both files again. The caller sets FetchedAt. Errors reveal nothing
// of the files' content.
func (s *Source) Fetch(context.Context) (tokenfile.Token, error) {
	user, err := read(s.userFile)
	if err != nil {
		return tokenfile.Token{}, fmt.Errorf("reading the user: %w", err)
	}
	if strings.Contains(user, ":") {
		return tokenfile.Token{}, fmt.Errorf("reading the user: %s: expected a user without a colon (RFC 7617, section 2)", s.userFile)
	}
	password, err := read(s.passwordFile)
	if err != nil {
		return tokenfile.Token{}, fmt.Errorf("reading the password: %w", err)
	}
	value := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return tokenfile.Token{Host: s.host, Value: tokenfile.NewValue(value)}, nil
}

// Owns says whether a token found in the token file has the current host, user and
// password.
func (s *Source) Owns(t tokenfile.Token) bool {
	current, err := s.Fetch(context.Background())
	return err == nil && current.SameCredential(t)
}

// read reads a file's only line, without the line break.
func read(path string) (_ string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+2))
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" || len(text) > maxFile {
		return "", fmt.Errorf("%s: expected one line of 1 to %d bytes, found an empty or a longer one", path, maxFile)
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "", fmt.Errorf("%s: expected one line, found more or a control character", path)
	}
	return text, nil
}
