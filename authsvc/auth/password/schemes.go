package password

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/bcrypt"
)

// Bounds of one hash. A hash at a bound takes a few seconds; what asks for more is
// refused, because whoever can write one hash could stop all others' logins.
const (
	maxMemory         = 256 << 20 // bytes
	maxBcryptCost     = 16        // 2^16 rounds: about 4 s
	maxArgonWork      = 4 << 20   // KiB of memory times passes: about 4 s
	maxArgonThreads   = 64
	maxScryptWork     = 1 << 24 // N·r·p: about 6 s
	maxPBKDF2         = 3_000_000
	minSHACryptRounds = 1_000 // as the scheme's specification has it
	maxSHACryptRounds = 1_000_000
)

// Lower bounds of what Validate calls strong.
const (
	minBcryptCost  = 5       // what htpasswd -B makes
	minArgonMemory = 7 << 10 // KiB (OWASP's Password Storage Cheat Sheet)
)

// A scheme is a way to make a hash.
type scheme struct {
	name, prefix string
	// strong: a file of passwords may have it.
	strong bool
	// form is the whole hash. Its groups are what cost gets.
	form *regexp.Regexp
	// example shows the form in an error.
	example string
	// maxSecret is how many bytes of a secret the scheme reads; 0 for all.
	maxSecret int
	// cost checks the bounds, and says what the hash needs.
	cost func(fields []string) (need, error)
	// decode reads the hash.
	decode func(hash string) (match func(secret string) bool, err error)
}

// need is what computing a hash needs: threads (0 if it costs nothing), and memory
// in bytes. weak says why a file of passwords should not have it, if so.
type need struct {
	threads, memory int64
	weak            string
}

// parsed is a hash that can be compared.
type parsed struct {
	need
	maxSecret int
	match     func(secret string) bool
}

var schemes = []scheme{
	{
		name: "bcrypt", strong: true, prefix: "$2", example: "$2b$12$ and 53 characters",
		form:      regexp.MustCompile(`^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$`),
		maxSecret: 72, cost: bcryptCost,
		decode: func(hash string) (func(string) bool, error) {
			return func(secret string) bool { return bcrypt.CompareHashAndPassword([]byte(hash), []byte(secret)) == nil }, nil
		},
	},
	{
		name: "argon2id", strong: true, prefix: "$argon2id$", example: "$argon2id$v=19$m=65536,t=3,p=4$SALT$KEY",
		form: regexp.MustCompile(`^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$[A-Za-z0-9+/]{11,256}\$[A-Za-z0-9+/]{22,256}$`),
		cost: argonCost, decode: decoder(argon2.Decode),
	},
	{
		name: "scrypt", prefix: "$scrypt$", example: "$scrypt$ln=16,r=8,p=1$SALT$KEY",
		form: regexp.MustCompile(`^\$scrypt\$ln=(\d{1,2}),r=(\d{1,9}),p=(\d{1,9})\$[A-Za-z0-9+/]{11,256}\$[A-Za-z0-9+/]{22,256}$`),
		cost: scryptCost, decode: decoder(scrypt.Decode),
	},
	{
		name: "PBKDF2", prefix: "$pbkdf2", example: "$pbkdf2-sha256$600000$SALT$KEY (or -sha512, -sha1)",
		form: regexp.MustCompile(`^\$pbkdf2(?:-sha1|-sha256|-sha512)?\$(\d{1,9})\$[A-Za-z0-9./]{11,256}\$[A-Za-z0-9./]{22,86}$`),
		cost: rounds(1, maxPBKDF2), decode: decoder(pbkdf2.Decode),
	},
	{
		name: "SHA-256 crypt", prefix: "$5$", example: "$5$rounds=535000$SALT$ and 43 characters",
		form:      regexp.MustCompile(`^\$5\$(?:rounds=(\d{1,9})\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}$`),
		maxSecret: 511, cost: rounds(minSHACryptRounds, maxSHACryptRounds), decode: decoder(shacrypt.Decode),
	},
	{
		name: "SHA-512 crypt", prefix: "$6$", example: "$6$rounds=656000$SALT$ and 86 characters",
		form:      regexp.MustCompile(`^\$6\$(?:rounds=(\d{1,9})\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}$`),
		maxSecret: 511, cost: rounds(minSHACryptRounds, maxSHACryptRounds), decode: decoder(shacrypt.Decode),
	},
	{
		name: "SHA-256", prefix: "sha256:", example: "sha256: and 64 hexadecimal digits",
		form: regexp.MustCompile(`^sha256:[0-9a-fA-F]{64}$`),
		cost: func([]string) (need, error) { return need{}, nil }, decode: decodeSHA256,
	},
}

// Validate says what is wrong with a hash, without quoting it; nil if Check can read
// it. If strong, only bcrypt and argon2id will do, with a cost that withstands
// guessing once a file of passwords is stolen.
func Validate(hash string, strong bool) error {
	if s, known := find(hash); strong && (!known || !s.strong) {
		name := s.name
		if !known {
			name = unsupported(hash)
		}
		return fmt.Errorf("expected a hash of bcrypt ($2y$) or argon2id ($argon2id$), found %s", name)
	}
	p, err := parse(hash)
	if err == nil && strong && p.weak != "" {
		return errors.New(p.weak)
	}
	return err
}

// find returns the scheme of a hash, by its prefix.
func find(hash string) (scheme, bool) {
	i := slices.IndexFunc(schemes, func(s scheme) bool { return strings.HasPrefix(hash, s.prefix) })
	if i < 0 {
		return scheme{}, false
	}
	return schemes[i], true
}

func parse(hash string) (parsed, error) {
	s, known := find(hash)
	if !known {
		return parsed{}, fmt.Errorf("expected a hash of bcrypt ($2b$), argon2id ($argon2id$), scrypt ($scrypt$), PBKDF2 ($pbkdf2-sha256$), SHA-crypt ($5$, $6$), or sha256: and hexadecimal digits; found %s", unsupported(hash))
	}
	fields := s.form.FindStringSubmatch(hash)
	if fields == nil {
		return parsed{}, fmt.Errorf("expected a hash of %s like %s, found a damaged or unsupported one", s.name, s.example)
	}
	need, err := s.cost(fields[1:])
	if err != nil {
		return parsed{}, fmt.Errorf("%s: %w", s.name, err)
	}
	match, err := s.decode(hash)
	if err != nil { // it would quote the hash
		return parsed{}, fmt.Errorf("expected a hash of %s like %s, found one that cannot be decoded", s.name, s.example)
	}
	return parsed{need, s.maxSecret, match}, nil
}

// unsupported names what an htpasswd file or an old database may have.
func unsupported(hash string) string {
	for prefix, name := range map[string]string{
		"$apr1$": "MD5 (Apache's)", "$1$": "MD5 crypt", "{SHA}": "SHA-1", "{SSHA}": "salted SHA-1",
		"$y$": "yescrypt", "$argon2i$": "argon2i", "$argon2d$": "argon2d", "{": "an LDAP scheme",
	} {
		if strings.HasPrefix(hash, prefix) && (prefix != "{" || !strings.HasPrefix(hash, "{S")) {
			return name
		}
	}
	if hash == "" {
		return "nothing"
	}
	return "another scheme, or plain text"
}

func bcryptCost(fields []string) (need, error) {
	cost, err := number(fields[0], 4, maxBcryptCost, "a cost")
	n := need{threads: 1}
	if cost < minBcryptCost {
		n.weak = fmt.Sprintf("bcrypt: expected a cost of at least %d (better 12), found %d", minBcryptCost, cost)
	}
	return n, err
}

func argonCost(fields []string) (need, error) {
	threads, err := number(fields[2], 1, maxArgonThreads, "p")
	if err != nil {
		return need{}, err
	}
	memory, err := number(fields[0], 8*threads, maxMemory>>10, "m (KiB)")
	if err != nil {
		return need{}, err
	}
	if _, err = number(fields[1], 1, maxArgonWork/memory, "t"); err != nil {
		return need{}, err
	}
	n := need{threads: threads, memory: memory << 10}
	if memory < minArgonMemory {
		n.weak = fmt.Sprintf("argon2id: expected m of at least %d (KiB), found %d", minArgonMemory, memory)
	}
	return n, nil
}

func scryptCost(fields []string) (need, error) {
	ln, err := number(fields[0], 1, 21, "ln")
	if err != nil {
		return need{}, err
	}
	r, err := number(fields[1], 1, maxMemory/(128<<ln), "r")
	if err != nil {
		return need{}, err
	}
	p, err := number(fields[2], 1, maxScryptWork/(r<<ln), "p")
	if err != nil {
		return need{}, err
	}
	return need{threads: 1, memory: 128 * r * (1<<ln + p)}, nil
}

// rounds is the cost of a scheme whose only parameter is a number of rounds, which
// may be left out.
func rounds(least, most int64) func([]string) (need, error) {
	return func(fields []string) (need, error) {
		n := need{threads: 1}
		if fields[0] == "" {
			return n, nil
		}
		_, err := number(fields[0], least, most, "a number of rounds")
		return n, err
	}
}

// number reads a parameter of a hash and checks its bounds.
func number(digits string, least, most int64, what string) (int64, error) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < least || n > most {
		return n, fmt.Errorf("expected %s from %d to %d, found %s", what, least, most, digits)
	}
	return n, nil
}

func decoder(decode func(string) (algorithm.Digest, error)) func(string) (func(string) bool, error) {
	return func(hash string) (func(string) bool, error) {
		digest, err := decode(hash)
		if err != nil {
			return nil, err
		}
		return digest.Match, nil
	}
}

func decodeSHA256(hash string) (func(string) bool, error) {
	want, err := hex.DecodeString(strings.TrimPrefix(hash, "sha256:"))
	return func(secret string) bool {
		sum := sha256.Sum256([]byte(secret))
		return subtle.ConstantTimeCompare(sum[:], want) == 1
	}, err
}
