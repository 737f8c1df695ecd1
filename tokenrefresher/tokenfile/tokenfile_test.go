package tokenfile_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

var fetched = time.Date(2026, 11, 23, 18, 0, 0, 123456789, time.UTC)

const host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

func encoded(plain string) tokenfile.Value {
	return tokenfile.NewValue(base64.StdEncoding.EncodeToString([]byte(plain)))
}

func token(password string) tokenfile.Token {
	return tokenfile.Token{Host: host, Value: encoded("AWS:" + password), ExpiresAt: fetched.Add(12 * time.Hour), FetchedAt: fetched}
}

// TestRoundTrip: tokens have no fixed size; 2.4 and 4.8 KB have been seen.
func TestRoundTrip(t *testing.T) {
	for _, size := range []int{2368, 4781, 12 << 10} {
		path := filepath.Join(t.TempDir(), "main.json")
		want := token(strings.Repeat("p", size*3/4-4))
		if n := len(want.Authorization()) - len("Basic "); n < size-4 || n > size+4 {
			t.Fatalf("the token has %d bytes, want about %d", n, size)
		}
		for _, expires := range []time.Time{want.ExpiresAt, {}} {
			want.ExpiresAt = expires
			if err := tokenfile.Write(path, want); err != nil {
				t.Fatal(err)
			}
			got, err := tokenfile.Read(path)
			if err != nil || !got.Equal(want) || got.Authorization() != want.Authorization() {
				t.Errorf("%d bytes: read %+v, %v; wrote %+v", size, got, err, want)
			}
		}
	}
}

func TestUsable(t *testing.T) {
	expires := fetched.Add(12 * time.Hour)
	tests := []struct {
		name  string
		token tokenfile.Token
		now   time.Time
		want  string
	}{
		{"fresh", token("p"), fetched, ""},
		{"last moment", token("p"), expires.Add(-1), ""},
		{"expired", token("p"), expires, "the token expired at 2026-11-24T06:00:00Z"},
		{"never expires", tokenfile.Token{Host: host, Value: encoded("a:b")}, expires.AddDate(100, 0, 0), ""},
		{"none", tokenfile.Token{}, fetched, "there is no token"},
		{"empty", tokenfile.Token{Host: host, Value: tokenfile.NewValue("")}, fetched, "there is no token"},
	}
	for _, test := range tests {
		got := ""
		if err := test.token.Usable(test.now); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestReadRefuses has a bad file for each rule, with the exact message.
func TestReadRefuses(t *testing.T) {
	good := map[string]any{"version": 1, "host": host, "token": "QVdTOnA=", "fetchedAt": "2026-11-23T18:00:00Z"}
	with := func(key string, value any) string {
		changed := map[string]any{}
		for k, v := range good {
			changed[k] = v
		}
		changed[key] = value
		data, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	whole := with("version", 1)
	hostError := func(found string) string {
		return fmt.Sprintf("host: expected a host name in lower case, found %q", found)
	}
	tests := []struct{ name, content, want string }{
		{"empty", "", "expected a JSON object, found an empty file or a part of one"},
		{"half", whole[:len(whole)/2], "expected a JSON object, found an empty file or a part of one"},
		{"no JSON", "QVdTOnA=", "expected JSON, found something else or a part of it (byte 1)"},
		{"a list", "[1]", "expected a JSON object with text in it, found another type (byte 1)"},
		{"two objects", whole + whole, "expected one JSON object, found something after it"},
		{"unknown key", with("QVdTOnA=", 1), "expected the keys version, host, token, expiresAt and fetchedAt, found another one"},
		{"other version", with("version", 2), "version: expected 1, found 2"},
		{"no version", `{}`, "version: expected 1, found 0"},
		{"no host", with("host", ""), hostError("")},
		{"path in the host", with("host", "a/v2"), hostError("a/v2")},
		{"URL as host", with("host", "https://a"), `host: expected a port from 1 to 65535 after the colon, found "https://a"`},
		{"upper case host", with("host", "A.example.com"), hostError("A.example.com")},
		{"host with a line break", with("host", "a\r\nb"), hostError("a\r\nb")},
		{"host with user", with("host", "a@b"), hostError("a@b")},
		{"empty label", with("host", "a..b"), hostError("a..b")},
		{"port 443", with("host", "a:443"), `host: expected the port only if it is not 443, found "a:443"`},
		{"port 0", with("host", "a:0"), `host: expected a port from 1 to 65535 after the colon, found "a:0"`},
		{"port with zeros", with("host", "a:08"), `host: expected a port from 1 to 65535 after the colon, found "a:08"`},
		{"port too high", with("host", "a:65536"), `host: expected a port from 1 to 65535 after the colon, found "a:65536"`},
		{"token not base64", with("token", "AWS:p"), "token: expected the base64 of user:password, found something else"},
		{"token with a line break", with("token", "QVdT\r\nOnA="), "token: expected the base64 of user:password, found something else"},
		{"token unpadded", with("token", "QVdTOnA"), "token: expected the base64 of user:password, found something else"},
		{"token of no pair", with("token", "QVdT"), "token: expected the base64 of user:password, found the base64 of something else"},
		{"token without password", with("token", "QVdTOg=="), "token: expected the base64 of user:password, found the base64 of something else"},
		{"token without user", with("token", "OnA="), "token: expected the base64 of user:password, found the base64 of something else"},
		{"token with a control character", with("token", "QVdTOnAK"), "token: expected user and password without control characters (RFC 7617, section 2)"},
		{"no token", with("token", ""), "token: expected the base64 of user:password, found the base64 of something else"},
		{"token too long", with("token", strings.Repeat("QUFB", 4097)), "token: expected at most 16384 bytes, found 16388"},
		{"token of another type", with("token", 1), "expected a JSON object with text in it, found another type"},
		{"no fetchedAt", with("fetchedAt", ""), "fetchedAt: expected an RFC 3339 time, found something else"},
		{"token as fetchedAt", with("fetchedAt", "QVdTOnA="), "fetchedAt: expected an RFC 3339 time, found something else"},
		{"token as expiresAt", with("expiresAt", "QVdTOnA="), "expiresAt: expected an RFC 3339 time, found something else"},
		{"file too long", whole + strings.Repeat(" ", 64<<10), "expected at most 65536 bytes, found more"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "main.json")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := tokenfile.Read(path)
			if err == nil {
				t.Fatal("accepted")
			}
			if want := "reading token file " + path + ": " + test.want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %s\nwant %s", err, want)
			}
			if strings.Contains(err.Error(), "QVdT") {
				t.Errorf("the error has the token: %s", err)
			}
		})
	}
}

func TestReadRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	for path, want := range map[string]string{
		dir:     "expected a regular file, found d---------",
		fifo:    "expected a regular file, found p---------",
		missing: "no such file or directory",
	} {
		if _, err := tokenfile.Read(path); err == nil || err.Error() != "reading token file "+path+": "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := tokenfile.Read(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v is not os.ErrNotExist", err)
	}
}

func TestWriteModeAndGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "main.json")
	defer syscall.Umask(syscall.Umask(0o077)) // the mode does not depend on it
	gid := os.Getgid()
	if os.Getuid() == 0 {
		gid = 12345 // root can give a file to any group
	}
	if err := tokenfile.Write(path, token("p"), tokenfile.Group(strconv.Itoa(gid))); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o640 {
		t.Errorf("mode %v, want 0640", info.Mode())
	}
	if got := int(info.Sys().(*syscall.Stat_t).Gid); got != gid {
		t.Errorf("group %d, want %d", got, gid)
	}
}

// TestWriteFails: whatever goes wrong, the old file stays as it was, and no
// temporary one is left.
func TestWriteFails(t *testing.T) {
	tests := []struct {
		name    string
		token   tokenfile.Token
		options []tokenfile.WriteOption
		around  func(t *testing.T, write func())
		want    string
	}{
		{name: "bad token", token: tokenfile.Token{Host: host, FetchedAt: fetched, Value: tokenfile.NewValue("#")}, want: "token: expected the base64"},
		{name: "no host", token: tokenfile.Token{FetchedAt: fetched, Value: encoded("a:b")}, want: "host: expected"},
		{name: "no time", token: tokenfile.Token{Host: host, Value: encoded("a:b")}, want: "fetchedAt: expected"},
		{name: "unknown group", token: token("p"), options: []tokenfile.WriteOption{tokenfile.Group("no-such-group")}, want: "group no-such-group"},
		{name: "no room in the middle of the file", token: token(strings.Repeat("p", 8<<10)), around: withoutRoom, want: "file too large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "main.json")
			old := token("old")
			if err := tokenfile.Write(path, old); err != nil {
				t.Fatal(err)
			}
			var err error
			write := func() { err = tokenfile.Write(path, test.token, test.options...) }
			if test.around == nil {
				write()
			} else {
				test.around(t, write)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want %s: …%s", err, path, test.want)
			}
			if got, err := tokenfile.Read(path); err != nil || !got.Equal(old) {
				t.Errorf("the old file is now %+v, %v", got, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// withoutRoom lets no file grow over 1 KB: a write then ends half way, as on
// a full disk, and needs no disk that can be filled.
func withoutRoom(t *testing.T, write func()) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 10, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	write()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
}

func TestWriteWithoutFolder(t *testing.T) {
	if err := tokenfile.Write(filepath.Join(t.TempDir(), "none", "main.json"), token("p")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// TestValueIsNeverPrinted: rpardini/docker-registry-proxy and Harbor's ECR
// adapter logged the Authorization.
func TestValueIsNeverPrinted(t *testing.T) {
	const password = "hush-hush"
	secret := token(password)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		_, _ = fmt.Fprintf(&out, verb+"\n", secret)
		_, _ = fmt.Fprintf(&out, verb+"\n", secret.Value)
		_, _ = fmt.Fprintf(&out, verb+"\n", struct{ hidden tokenfile.Token }{secret})
	}
	if err := json.NewEncoder(&out).Encode(secret); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	logger.Info("token", "token", secret, "value", secret.Value, "any", struct{ T tokenfile.Token }{secret})
	slog.New(slog.NewTextHandler(&out, nil)).Info("token", "token", secret, "value", secret.Value)
	out.WriteString(secret.Redact("the registry says: " + secret.Authorization() + " or " + password))
	value := strings.TrimPrefix(secret.Authorization(), "Basic ")
	for _, shown := range []string{password, value, fmt.Sprintf("%x", value), fmt.Sprintf("%x", password)} {
		if strings.Contains(out.String(), shown) {
			t.Errorf("shown: %s", out.String())
		}
	}
}

// TestRedactPieces: what repeats a token may cut it off, or break it into lines.
func TestRedactPieces(t *testing.T) {
	password := strings.Repeat("0123456789abcdef-", 20)
	secret := token(password)
	value := strings.TrimPrefix(secret.Authorization(), "Basic ")
	for text, want := range map[string]string{
		"nothing of it":                         "nothing of it",
		"":                                      "",
		"cut off: " + value[:len(value)/2]:      "cut off: ***",
		"its end: " + value[40:] + ", and more": "its end: ***, and more",
		"in lines: " + value[:60] + "\n" + value[60:]:    "in lines: ***\n***",
		"twice: " + value + " " + password[5:] + ".":     "twice: *** ***.",
		"too little to be of use: " + password[:5] + ".": "too little to be of use: 01234.",
	} {
		if got := secret.Redact(text); got != want {
			t.Errorf("%.60q became %.60q, want %.60q", text, got, want)
		}
	}
}
