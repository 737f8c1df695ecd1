// Package password compares customers' secrets with stored hashes, for the sources
// that keep them: a database's and an htpasswd file's.
//
// A hash tells its scheme by its prefix (schemes.go has all of them and their
// bounds). Passwords need an expensive scheme. Random tokens of 128 bits or more do
// not: nobody guesses one, so their plain SHA-256 is enough and costs nothing.
package password

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// maxTotalMemory is what all hashes that are computed at the same time may use, in
// bytes.
const maxTotalMemory = 2 * maxMemory

// unlearned is what Dummy costs before the first Check: bcrypt of nothing anybody
// knows, with cost 10.
const unlearned = "$2b$10$TqZ5qjZb1nVYyO9m3vJ5uOQ8bW1wJ0cH7mXk2rD4sLpE6tN9aFgKi"

// A Verifier compares secrets with hashes. It is safe for concurrent use.
type Verifier struct {
	room  *room
	usual atomic.Pointer[string]
}

// room is shared by all Verifiers: the processors are.
type room struct {
	processors *semaphore.Weighted
	count      int64 // of processors
	memory     *semaphore.Weighted
}

// theRoom makes the room when it is first needed: a program that never computes
// an expensive hash keeps its number of processors.
var theRoom = sync.OnceValue(func() *room {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS()
	}
	count := int64(max(1, runtime.GOMAXPROCS(0)-1))
	return &room{semaphore.NewWeighted(count), count, semaphore.NewWeighted(maxTotalMemory)}
})

// New returns a Verifier. Expensive hashes use all processors but one, so that
// decisions about known customers go on meanwhile. For that New raises GOMAXPROCS
// to the number of processors, unless the environment variable sets it. On a machine
// with a single processor, one hash is computed at a time, and shares it.
func New() *Verifier {
	v := &Verifier{room: theRoom()}
	hash := unlearned
	v.usual.Store(&hash)
	return v
}

// Check says whether hash was made of the secret. A secret longer than the scheme
// reads is not: nothing is truncated. Neither is one with a NUL in it.
//
// The error wraps auth.ErrUnreadable if the hash is of no scheme in schemes.go,
// damaged, or too expensive; else it is that of ctx, which ended while other hashes
// took the processors. No error contains the hash or the secret.
func (v *Verifier) Check(ctx context.Context, secret credential.Secret, hash string) (bool, error) {
	parsed, err := parse(hash)
	if err != nil {
		return false, fmt.Errorf("password hash: %w: %w", auth.ErrUnreadable, err)
	}
	if last := v.usual.Load(); *last != hash {
		v.usual.Store(&hash)
	}
	text := secret.Reveal()
	tooLong := parsed.maxSecret > 0 && len(text) > parsed.maxSecret
	if tooLong || strings.IndexByte(text, 0) >= 0 { // crypt(3) ends at a NUL, and HMAC ignores NULs at the end
		return false, nil
	}
	if parsed.threads > 0 {
		leave, err := v.room.enter(ctx, parsed)
		if err != nil {
			return false, fmt.Errorf("waiting to compute a password hash: %w", err)
		}
		defer leave()
	}
	return parsed.match(text), nil
}

// Dummy does the work of a Check and no more, so that the time of an answer does not
// tell that a user is unknown. It costs what the last Check did: most sources have
// hashes of one scheme and cost. Its error is ctx's, as with Check.
func (v *Verifier) Dummy(ctx context.Context, secret credential.Secret) error {
	_, err := v.Check(ctx, secret, *v.usual.Load())
	return err
}

// Usual says what most hashes cost, for a Dummy before the first Check. An
// unreadable hash changes nothing.
func (v *Verifier) Usual(hash string) {
	if _, err := parse(hash); err == nil {
		v.usual.Store(&hash)
	}
}

// enter waits for processors and memory. Threads beyond the room's processors take
// all of it.
func (r *room) enter(ctx context.Context, h parsed) (leave func(), err error) {
	threads := min(h.threads, r.count)
	if err := r.processors.Acquire(ctx, threads); err != nil {
		return nil, err
	}
	if err := r.memory.Acquire(ctx, h.memory); err != nil {
		r.processors.Release(threads)
		return nil, err
	}
	return func() {
		r.memory.Release(h.memory)
		r.processors.Release(threads)
	}, nil
}
