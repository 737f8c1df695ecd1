package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/credential"
	"golang.org/x/sync/singleflight"
)

// lookUpTimeout bounds a look-up that callers share, and that therefore does
// not end with any caller's context. The authenticator's own is shorter.
const lookUpTimeout = 2 * time.Minute

// outagePause is how long a known customer is served without another attempt
// at a vendor that could not be asked: a pull is dozens of requests, and each
// would wait for the vendor's timeout.
const outagePause = 5 * time.Second

// CacheConfig bounds a Cache in time and in size.
type CacheConfig struct {
	// TTL is how long an acceptance is not asked about again, RefusalTTL a
	// refusal. They run from the look-up, and a hit does not prolong them.
	TTL, RefusalTTL time.Duration
	// StaleTTL is how much longer an acceptance serves while the vendor
	// cannot be asked.
	StaleTTL time.Duration
	// MaxEntries and MaxRefusals bound the numbers kept. They are counted
	// apart, so that guessed passwords cannot push customers out.
	MaxEntries, MaxRefusals int
	// Now is the clock; nil for the real one.
	Now func() time.Time
}

// A Cache is an Authenticator that remembers what another one said.
//
// An error of the other is not remembered, and does not end what is known: a
// customer who was accepted goes on for StaleTTL. A refusal ends it at once.
type Cache struct {
	next     Authenticator
	config   CacheConfig
	accepted *store
	refused  *store
	flight   singleflight.Group
	macs     sync.Pool
}

// NewCache returns a Cache around next.
func NewCache(next Authenticator, config CacheConfig) *Cache {
	if config.Now == nil {
		config.Now = time.Now
	}
	secret := make([]byte, sha256.Size)
	_, _ = rand.Read(secret) // it never fails
	return &Cache{
		next:     next,
		config:   config,
		accepted: newStore(config.MaxEntries, config.TTL+config.StaleTTL),
		refused:  newStore(config.MaxRefusals, config.RefusalTTL),
		macs:     sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }},
	}
}

// Len is the number of credentials that are remembered.
func (c *Cache) Len() int { return c.accepted.len() + c.refused.len() }

// Authenticate implements Authenticator. However many callers ask about one
// credential at a time, next is asked once; a caller whose context ends leaves
// alone.
func (c *Cache) Authenticate(ctx context.Context, presented credential.Credential) (Decision, error) {
	key := c.key(presented)
	if decision, ok := c.known(key); ok {
		return decision, nil
	}
	result := c.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookUpTimeout)
		defer cancel()
		return c.lookUp(ctx, key, presented)
	})
	select {
	case <-ctx.Done():
		return Decision{}, ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return Decision{}, r.Err
		}
		return r.Val.(Decision), nil
	}
}

// known returns what is known of a credential and not to be asked again yet.
func (c *Cache) known(key string) (Decision, bool) {
	now := c.config.Now()
	if e, ok := c.accepted.get(key); ok {
		switch {
		case now.Before(e.at.Add(c.config.TTL)):
			return e.as(Hit), true
		case now.Before(e.retry) && c.servesStale(e, now):
			return e.as(Stale), true
		}
	}
	if e, ok := c.refused.get(key); ok && now.Before(e.at.Add(c.config.RefusalTTL)) {
		return e.as(Hit), true
	}
	return Decision{}, false
}

func (c *Cache) servesStale(e entry, now time.Time) bool {
	return now.Before(e.at.Add(c.config.TTL + c.config.StaleTTL))
}

// lookUp asks next and remembers the answer.
func (c *Cache) lookUp(ctx context.Context, key string, presented credential.Credential) (Decision, error) {
	if decision, ok := c.known(key); ok { // it arrived since the caller looked
		return decision, nil
	}
	asked := c.config.Now()
	decision, err := c.next.Authenticate(ctx, presented)
	if err != nil {
		now := c.config.Now()
		e, ok := c.accepted.get(key)
		if !ok || !c.servesStale(e, now) {
			return Decision{}, err
		}
		e.retry = now.Add(outagePause)
		c.accepted.put(key, e)
		return e.as(Stale), nil
	}
	decision.Cache = Miss
	answer := entry{decision: decision, at: asked}
	if decision.Refusal != "" {
		c.accepted.remove(key)
		c.refused.put(key, answer)
	} else {
		c.refused.remove(key)
		c.accepted.put(key, answer)
	}
	return decision, nil
}

// key names a credential without telling it: a MAC under a secret of this
// process, over parts that are prefixed by their lengths, so that no two
// credentials run together.
func (c *Cache) key(presented credential.Credential) string {
	mac := c.macs.Get().(hash.Hash)
	defer c.macs.Put(mac)
	mac.Reset()
	buffer := make([]byte, 0, 256)
	for _, part := range [...]string{presented.User, presented.Secret.Reveal()} {
		buffer = binary.BigEndian.AppendUint64(buffer, uint64(len(part)))
		buffer = append(buffer, part...)
	}
	mac.Write(buffer)
	return string(mac.Sum(buffer[:0]))
}

// An entry is a decision and the moment at which it was asked for.
type entry struct {
	decision Decision
	at       time.Time
	// retry is when a vendor that could not be asked is asked again.
	retry time.Time
}

func (e entry) as(state CacheState) Decision {
	e.decision.Cache = state
	return e.decision
}
