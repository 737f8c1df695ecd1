package tokenfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// MaxFile is the maximum size of a token file, in bytes.
const MaxFile = 64 << 10

const version = 1

// content is the file's object. Times are text here, so that a parse error cannot
// quote the file.
type content struct {
	Version   int    `json:"version"`
	Host      string `json:"host"`
	Token     string `json:"token"`
	ExpiresAt string `json:"expiresAt,omitempty"`
	FetchedAt string `json:"fetchedAt"`
}

// Read reads the file at path. Its error says which part is wrong, and reveals
// nothing of the token.
func Read(path string) (Token, error) {
	data, err := system.ReadFile(path, MaxFile)
	if err != nil {
		return Token{}, fmt.Errorf("reading token file %s: %w", path, err)
	}
	t, err := Parse(data)
	if err != nil {
		return Token{}, fmt.Errorf("reading token file %s: %w", path, err)
	}
	return t, nil
}

// Parse parses the file's bytes.
func Parse(data []byte) (Token, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var c content
	if err := decoder.Decode(&c); err != nil {
		return Token{}, describe(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Token{}, errors.New("expected one JSON object, found something after it")
	}
	if c.Version != version {
		return Token{}, fmt.Errorf("version: expected %d, found %d", version, c.Version)
	}
	t := Token{Host: c.Host, Value: NewValue(c.Token)}
	var err error
	if t.FetchedAt, err = parseTime("fetchedAt", c.FetchedAt); err != nil {
		return Token{}, err
	}
	if c.ExpiresAt != "" {
		if t.ExpiresAt, err = parseTime("expiresAt", c.ExpiresAt); err != nil {
			return Token{}, err
		}
	}
	if err := t.Check(); err != nil {
		return Token{}, err
	}
	return t, nil
}

// describe rewords a decoder's error, since the original may quote the file.
func describe(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("expected a JSON object with text in it, found another type (byte %d)", wrong.Offset)
	}
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("expected JSON, found something else or a part of it (byte %d)", wrong.Offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("expected a JSON object, found an empty file or a part of one")
	}
	return errors.New("expected the keys version, host, token, expiresAt and fetchedAt, found another one")
}

func parseTime(key, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	// RFC 3339 cannot express year 10000 or later; the zero time means none.
	if err != nil || t.IsZero() || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		return time.Time{}, fmt.Errorf("%s: expected an RFC 3339 time, found something else", key)
	}
	return t.UTC(), nil
}
