package password_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/password"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// Hashes of "secret" that other programs made: glibc's crypt, Python's hashlib, and
// sha256sum; argon2id's is of "password", from the reference implementation's tests.
const (
	bcryptHash = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
	argonHash  = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	scryptHash = "$scrypt$ln=10,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$punalsgLVDmabDdlbwVieUjVAmz5/abwyjX3gfy3Xlo"
	pbkdf2Hash = "$pbkdf2-sha256$1000$c2FsdHNhbHRzYWx0c2FsdA$dClvKSmj66n6MdMWNv3Go4mvH1Ym2WIGiJvquqa.mfE"
	crypt5Hash = "$5$rounds=2000$saltsalt$z4uPO26lUGTrJq0TkvDSMVwA89yISrOuEF2WeLlRnpC"
	crypt6Hash = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"
	sha256Hash = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
)

func secret(text string) credential.Secret { return credential.NewSecret(text) }

func TestHashesOfOtherPrograms(t *testing.T) {
	v := password.New()
	for name, test := range map[string]struct{ hash, secret string }{
		"bcrypt":        {bcryptHash, "secret"},
		"bcrypt 2b":     {strings.Replace(bcryptHash, "2y", "2b", 1), "secret"},
		"argon2id":      {argonHash, "password"},
		"scrypt":        {scryptHash, "secret"},
		"PBKDF2":        {pbkdf2Hash, "secret"},
		"PBKDF2 sha512": {"$pbkdf2-sha512$1000$c2FsdHNhbHRzYWx0c2FsdA$2IVLzDcUS76iY9.wBooZzkS5Z0mI6ikZPfMieFfR1eV/GJiiRzyvvz4ne7tBn8OJ1hxZyCz95QPNeLP3ykzMiQ", "secret"},
		"PBKDF2 sha1":   {"$pbkdf2$1000$c2FsdHNhbHRzYWx0c2FsdA$Gl3hdYiKRqzegI7vLGvFG.A89N0", "secret"},
		"SHA-256 crypt": {crypt5Hash, "secret"},
		"SHA-512 crypt": {crypt6Hash, "secret"},
		"SHA-256":       {sha256Hash, "secret"},
		"SHA-256 caps":  {"sha256:" + strings.ToUpper(sha256Hash[7:]), "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			if ok, err := v.Check(t.Context(), secret(test.secret), test.hash); !ok || err != nil {
				t.Errorf("the right secret: %v, %v", ok, err)
			}
			for _, wrong := range []string{"", "Secret", test.secret + " ", test.secret + "\x00", test.hash} {
				if ok, err := v.Check(t.Context(), secret(wrong), test.hash); ok || err != nil {
					t.Errorf("%q: %v, %v", wrong, ok, err)
				}
			}
			if err := password.Validate(test.hash, false); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestUnreadable: whoever writes one hash can neither open the door nor stop all
// logins. An error shows neither the hash nor the secret.
func TestUnreadable(t *testing.T) {
	v := password.New()
	for _, test := range []struct{ hash, want string }{
		{"", "found nothing"},
		{"secret", "plain text"},
		{"$apr1$saltsalt$w5fyQO9gVHNnOYwL.Wq7C1", "found MD5 (Apache's)"},
		{"$1$saltsalt$w5fyQO9gVHNnOYwL.Wq7C1", "found MD5 crypt"},
		{"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "found SHA-1"},
		{"{CRYPT}" + bcryptHash, "LDAP"},
		{"$plaintext$secret", "plain text"},
		{" " + bcryptHash, "another scheme"},
		{bcryptHash + " ", "hash of bcrypt like"},
		{bcryptHash[:40], "hash of bcrypt like"},
		{strings.Replace(bcryptHash, "$05$", "$17$", 1), "bcrypt: expected a cost from 4 to 16, found 17"},
		{strings.Replace(bcryptHash, "$05$", "$03$", 1), "expected a cost"},
		{strings.Replace(bcryptHash, "2y", "2x", 1), "hash of bcrypt like"},
		{strings.Replace(argonHash, "m=65536", "m=262145", 1), "argon2id: expected m (KiB) from 8 to 262144, found 262145"},
		{strings.Replace(argonHash, "t=2", "t=65", 1), "expected t from 1 to 64, found 65"},
		{strings.Replace(argonHash, "t=2", "t=0", 1), "expected t"},
		{strings.Replace(argonHash, "p=1", "p=65", 1), "expected p"},
		{strings.Replace(argonHash, "p=1", "p=0", 1), "expected p"},
		{strings.Replace(argonHash, "m=65536,t=2,p=1", "m=7,t=2,p=1", 1), "expected m"},
		{strings.Replace(argonHash, "m=65536", "m=65536,m=8", 1), "hash of argon2id like"},
		{strings.Replace(argonHash, "v=19", "v=16", 1), "hash of argon2id like"},
		{argonHash[:len(argonHash)-40], "hash of argon2id like"}, // a key of 2 bytes: one guess in 65,536 is right
		{argonHash[:len(argonHash)-6], "cannot be decoded"},
		{strings.Replace(argonHash, "argon2id", "argon2i", 1), "found argon2i"},
		{strings.Replace(scryptHash, "ln=10", "ln=22", 1), "scrypt: expected ln"},
		{strings.Replace(scryptHash, "ln=10,r=8", "ln=18,r=9", 1), "scrypt: expected r from 1 to 8, found 9"},
		{strings.Replace(scryptHash, "p=1", "p=2049", 1), "scrypt: expected p"},
		{strings.Replace(pbkdf2Hash, "1000", "3000001", 1), "PBKDF2: expected a number of rounds"},
		{strings.Replace(pbkdf2Hash, "1000", "0", 1), "a number of rounds"},
		{strings.Replace(pbkdf2Hash, "sha256", "md5", 1), "hash of PBKDF2 like"},
		{strings.Replace(crypt5Hash, "2000", "1000001", 1), "SHA-256 crypt: expected a number of rounds"},
		{strings.Replace(crypt5Hash, "2000", "999", 1), "a number of rounds"},
		{strings.Replace(crypt6Hash, "saltsalt", "saltsaltsaltsalt1", 1), "hash of SHA-512 crypt like"},
		{sha256Hash + "0", "hash of SHA-256 like"},
		{"sha256:", "hash of SHA-256 like"},
		{"sha256:" + strings.Repeat("g", 64), "hash of SHA-256 like"},
	} {
		ok, err := v.Check(t.Context(), secret("secret"), test.hash)
		if ok || !errors.Is(err, auth.ErrUnreadable) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, %v; want %q", test.hash, ok, err, test.want)
			continue
		}
		if len(test.hash) > 20 && strings.Contains(err.Error(), test.hash[len(test.hash)-10:]) {
			t.Errorf("the error quotes the hash: %v", err)
		}
		if password.Validate(test.hash, false) == nil {
			t.Errorf("%q: valid", test.hash)
		}
	}
}

func TestStrong(t *testing.T) {
	for hash, want := range map[string]string{
		bcryptHash: "",
		argonHash:  "",
		strings.Replace(bcryptHash, "$05$", "$04$", 1):     "bcrypt: expected a cost of at least 5 (better 12), found 4",
		strings.Replace(argonHash, "m=65536", "m=7000", 1): "argon2id: expected m of at least 7168 (KiB), found 7000",
		scryptHash: "expected a hash of bcrypt ($2y$) or argon2id ($argon2id$), found scrypt",
		pbkdf2Hash: "found PBKDF2",
		crypt5Hash: "found SHA-256 crypt",
		crypt6Hash: "found SHA-512 crypt",
		sha256Hash: "found SHA-256",
		"secret":   "plain text",
	} {
		err := password.Validate(hash, true)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", hash, err, want)
		}
	}
}

// TestNothingIsTruncated: bcrypt reads 72 bytes, so all secrets that begin with the
// same 72 would be the same.
func TestNothingIsTruncated(t *testing.T) {
	v := password.New()
	const hash = "$2y$05$abcdefghijklmnopqrstuuGUnCqbfgs3htOkLrFduUjAyLBw1Rq/u" // of 72 times "a"
	for length, want := range map[int]bool{71: false, 72: true, 73: false, 100: false} {
		if ok, err := v.Check(t.Context(), secret(strings.Repeat("a", length)), hash); ok != want || err != nil {
			t.Errorf("%d bytes: %v, %v", length, ok, err)
		}
	}
	if ok, err := v.Check(t.Context(), secret(strings.Repeat("a", 512)), crypt6Hash); ok || err != nil {
		t.Errorf("crypt: %v, %v", ok, err)
	}
}

// TestRoom: hashes take all processors but one, wait for that with their caller's
// patience, and random tokens do not wait.
func TestRoom(t *testing.T) {
	v := password.New()
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < min(2, runtime.NumCPU()) {
		t.Errorf("GOMAXPROCS is %d of %d", runtime.GOMAXPROCS(0), runtime.NumCPU())
	}
	slow := strings.Replace(argonHash, "t=2", "t=8", 1)
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer cancel()
	for range 2 * runtime.GOMAXPROCS(0) {
		busy.Go(func() { _, _ = v.Check(ctx, secret("secret"), slow) })
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, hash := range []string{bcryptHash, argonHash} {
		if ok, err := v.Check(ended, secret("secret"), hash); ok || !errors.Is(err, context.Canceled) || errors.Is(err, auth.ErrUnreadable) {
			t.Errorf("after its caller has left: %v, %v", ok, err)
		}
	}
	if ok, err := v.Check(ended, secret("secret"), sha256Hash); !ok || err != nil {
		t.Errorf("a random token: %v, %v", ok, err)
	}
}

// TestDummy: it does the work of the last Check, and fails as a Check does.
func TestDummy(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	v := password.New()
	if err := v.Dummy(t.Context(), secret("secret")); err != nil {
		t.Errorf("before the first hash: %v", err)
	}
	if err := v.Dummy(ended, secret("secret")); !errors.Is(err, context.Canceled) {
		t.Errorf("before the first hash, it needs no processor: %v", err)
	}
	if _, err := v.Check(t.Context(), secret("secret"), sha256Hash); err != nil {
		t.Fatal(err)
	}
	if err := v.Dummy(ended, secret("secret")); err != nil {
		t.Errorf("after a SHA-256, it waits for a processor: %v", err)
	}
	v.Usual(bcryptHash)
	v.Usual("nonsense")
	if err := v.Dummy(ended, secret("secret")); !errors.Is(err, context.Canceled) {
		t.Errorf("after bcrypt, it needs no processor: %v", err)
	}
}

// FuzzHash: no hash makes it panic, take long, or accept a secret that it is not of.
func FuzzHash(f *testing.F) {
	for _, seed := range []string{bcryptHash, argonHash, scryptHash, pbkdf2Hash, crypt5Hash, crypt6Hash, sha256Hash, "$2b$", "{SHA}"} {
		f.Add(seed)
	}
	v := password.New()
	f.Fuzz(func(t *testing.T, hash string) {
		if err := password.Validate(hash, false); err != nil {
			if ok, err := v.Check(t.Context(), secret("x"), hash); ok || err == nil {
				t.Errorf("%q is not valid, but can be checked: %v", hash, ok)
			}
			return
		}
		if ok, _ := v.Check(t.Context(), secret("neither secret nor password"), hash); ok {
			t.Errorf("%q accepts anything", hash)
		}
	})
}
