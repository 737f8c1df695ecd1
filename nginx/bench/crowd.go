package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// A person asks nginx with one credential, from one address of loopback, on one
// connection. It is as plain as it can be, since the clients' work is done by
// the machine that is measured.
type person struct {
	user, secret string
	host         string // nginx's
	dialer       net.Dialer

	mu     sync.Mutex
	conn   net.Conn // nil before the first question
	reader *bufio.Reader
}

// address is the i-th address of 127.KIND.0.0/16, for i below 60,000.
func address(kind, i int) string { return fmt.Sprintf("127.%d.%d.%d", kind, i/250, 1+i%250) }

func newPerson(s *stack.Stack, from, user, secret string) *person {
	return &person{user: user, secret: secret, host: s.Host, dialer: net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}}
}

// ask asks for a path with the person's own credential.
func (p *person) ask(ctx context.Context, path string) (status int, retry time.Duration, err error) {
	return p.askAs(ctx, path, p.user, p.secret)
}

// askAs asks for a path, and returns the status and Retry-After.
func (p *person) askAs(ctx context.Context, path, user, secret string) (status int, retry time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		if p.conn, err = p.dialer.DialContext(ctx, "tcp", p.host); err != nil {
			return 0, 0, err
		}
		p.reader = bufio.NewReaderSize(p.conn, 4<<10)
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n\r\n",
		path, p.host, base64.StdEncoding.EncodeToString([]byte(user+":"+secret)))
	response, err := p.exchange(request) //nolint:bodyclose // read and closed there
	if err != nil || response.Close {
		p.hangUp()
	}
	if err != nil {
		return 0, 0, err
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // 0 without one
	return response.StatusCode, time.Duration(seconds) * time.Second, nil
}

// exchange sends a request, and reads the answer to its end.
func (p *person) exchange(request string) (*http.Response, error) {
	if err := p.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(p.conn, request); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(p.reader, nil)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response, errors.Join(err, response.Body.Close())
}

// leave ends the connection.
func (p *person) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangUp()
}

func (p *person) hangUp() {
	if p.conn != nil {
		_ = p.conn.Close() // its answers have been read
		p.conn = nil
	}
}

// A crowd is customers who pull one image, each from an address of its own.
type crowd struct {
	people []*person
	paths  []string // of one pull: the manifest, and a layer
}

// pullEvery is the time between two pulls of a customer.
const pullEvery = 500 * time.Millisecond

// newCrowd gives customers accounts, and lets each pull once from a real
// registry.
func newCrowd(ctx context.Context, s *stack.Stack) (*crowd, error) {
	image, err := stack.Image("acme/appliance")
	if err != nil {
		return nil, err
	}
	digest, err := s.Push(ctx, "acme/appliance:1.0", image)
	if err != nil {
		return nil, err
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	layer, err := layers[0].Digest()
	if err != nil {
		return nil, err
	}
	c := &crowd{paths: []string{"/v2/acme/appliance/manifests/" + digest, "/v2/acme/appliance/blobs/" + layer.String()}}
	for i := range customers {
		c.people = append(c.people, newPerson(s, address(10, i), fmt.Sprintf("ann%d@acme.example", i), fmt.Sprint("known-", i)))
		setAccount(s, c.people[i])
	}
	if err := c.once(ctx); err != nil {
		return nil, err
	}
	// From now on the registry answers in no time: what is measured is the way
	// to it.
	s.ECR.Front.Inject(standin.Fault{Status: http.StatusOK, Body: "{}"})
	return c, nil
}

// setAccount lets the vendor know a customer, who has licensed everything.
func setAccount(s *stack.Stack, p *person) {
	s.Vendor.SetAccount(p.secret, vendorapi.Account{Email: p.user, Licenses: []vendorapi.License{
		{ID: "lic_1", Releases: []vendorapi.Release{{Repository: "acme/*", Tags: []string{"*"}}}},
	}})
}

// once lets each customer pull, and wants all of them to be served.
func (c *crowd) once(ctx context.Context) error {
	for _, p := range c.people {
		for _, path := range c.paths {
			status, _, err := p.ask(ctx, path)
			if err != nil {
				return err
			}
			if status >= http.StatusBadRequest {
				return fmt.Errorf("%s, %s: status %d", p.user, path, status)
			}
		}
	}
	return nil
}

// pulls are what customers met.
type pulls struct {
	took    []float64 // ms a request
	refused int
}

// p99 is the time in which 99 of 100 requests are answered, in ms.
func (p pulls) p99() float64 {
	sorted := slices.Sorted(slices.Values(p.took))
	return sorted[len(sorted)*99/100]
}

// pull lets all customers pull for a time.
func (c *crowd) pull(ctx context.Context, during time.Duration) (pulls, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all pulls
	var mu sync.Mutex
	var group sync.WaitGroup
	start := time.Now()
	for i, p := range c.people {
		group.Go(func() {
			first := start.Add(pullEvery * time.Duration(i) / time.Duration(len(c.people)))
			for next := first; next.Before(start.Add(during)) && ctx.Err() == nil; next = next.Add(pullEvery) {
				time.Sleep(time.Until(next))
				for _, path := range c.paths {
					began := time.Now()
					status, _, err := p.ask(ctx, path)
					if err != nil {
						cancel(fmt.Errorf("%s: %w", p.user, err))
						return
					}
					mu.Lock()
					all.took = append(all.took, float64(time.Since(began).Microseconds())/1000)
					if status >= http.StatusBadRequest {
						all.refused++
					}
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	return all, context.Cause(ctx)
}

// A tally counts what the vendor's API is asked, by the beginning of the token.
// The API takes its time for each answer, as one over the internet does.
type tally struct {
	prefix string
	count  atomic.Int64
}

// count sees to it that questions about tokens that begin with prefix are
// counted, and that each answer takes so long.
func count(s *stack.Stack, prefix string, latency time.Duration) *tally {
	t := &tally{prefix: "Bearer " + prefix}
	s.Vendor.TLS.Inject(standin.Fault{Delay: latency, Match: func(r *http.Request) bool {
		if strings.HasPrefix(r.Header.Get("Authorization"), t.prefix) {
			t.count.Add(1)
		}
		return true
	}})
	return t
}
