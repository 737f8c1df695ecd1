package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A refusal is a request and the statuses that it may get.
type refusal struct {
	request
	statuses []int
}

func refused(q request, statuses ...int) refusal { return refusal{q, statuses} }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// refusals provokes every refusal, each with a secret of its own.
func (r *rig) refusals(ctx context.Context) error {
	var errs []error
	for _, table := range []map[string]refusal{r.wrongCredentials(), r.noRight(), r.malformed(), r.secretsElsewhere()} {
		all := map[string]request{}
		for name, t := range table {
			all[name] = t.request
		}
		errs = append(errs, r.shuffled(all, func(what string, q request) error {
			return r.want(ctx, what, q, table[what].statuses...)
		}))
	}
	errs = append(errs, r.guess(ctx), r.withdraw(ctx))
	return errors.Join(errs...)
}

// wrongCredentials come from addresses of their own, so that none is banned.
func (r *rig) wrongCredentials() map[string]refusal {
	base := get(manifest("1.0"))
	table := map[string]refusal{}
	add := func(name string, authorizations ...string) {
		q := base.with(authorizations...)
		q.from = fmt.Sprintf("127.1.0.%d", len(table)+1)
		table[name] = refused(q, http.StatusUnauthorized)
	}
	wrong, pasted, swapped := r.stranger("wrong"), r.stranger("pasted"), r.stranger("swapped")
	add("a wrong token", basic(wrong.user, wrong.token))
	add("a password that is no token", basic("ann@acme.example", r.awkward("password that is no token")))
	add("a token pasted as user name", basic(pasted.token, "x"))
	add("a token as user name and password", basic(pasted.token, pasted.token))
	add("user and token swapped", basic(swapped.token, swapped.user))
	add("a customer's token as user name", basic(r.ann.token, "x"))
	add("a right token in another's password", basic(r.ann.user, "x"+r.ann.token+" "))
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	add("no colon", "Basic "+encode(r.stranger("no colon").token))
	add("no user", "Basic "+encode(":"+r.stranger("no user").token))
	add("a control character", "Basic "+encode("ann\x01:"+r.stranger("control character").token))
	add("not UTF-8", "Basic "+encode("ann:\xff"+r.stranger("not UTF-8").token))
	add("not base64", "Basic "+r.awkward("credential that is not base64"))
	add("base64 for URLs", "Basic "+base64.URLEncoding.EncodeToString([]byte("ann~~~:"+r.stranger("URL's base64").token)))
	add("a plain credential", "Basic ann:"+r.stranger("plain credential").token)
	add("a Bearer token", "Bearer "+r.stranger("bearer").token)
	add("another scheme", r.stranger("other scheme").token)
	add("an over-long credential", basic("ann", strings.Repeat("x", 7000)+r.stranger("over-long").token))
	add("a token that is too long for the vendor", basic("ann", strings.Repeat("x", 4200)+r.stranger("long token").token))
	return table
}

// noRight are credentials that are good, but not for this.
func (r *rig) noRight() map[string]refusal {
	zero := "sha256:" + strings.Repeat("0", 64)
	ofAnn := func(uri string, status int) refusal { return refused(get(uri).as(r.ann), status) }
	return map[string]refusal{
		"an expired license":         refused(get(manifest("1.0")).as(r.bob), http.StatusForbidden),
		"a withdrawn license":        refused(get(manifest("1.0")).as(r.cid), http.StatusForbidden),
		"no license for it":          refused(get(manifest("1.0")).as(r.dora), http.StatusNotFound),
		"a digest of another's":      refused(get(manifest(r.digest)).as(r.dora), http.StatusNotFound),
		"an unknown tag":             ofAnn(manifest("none"), http.StatusNotFound),
		"an unknown digest":          ofAnn(manifest(zero), http.StatusNotFound),
		"an unknown blob":            ofAnn("/v2/"+repository+"/blobs/"+zero, http.StatusNotFound),
		"an unknown repository":      ofAnn("/v2/acme/none/tags/list", http.StatusNotFound),
		"a name that is none":        ofAnn("/v2/Acme/appliance/tags/list", http.StatusBadRequest),
		"a tag that is none":         ofAnn(manifest("-"), http.StatusBadRequest),
		"a digest that is none":      ofAnn("/v2/"+repository+"/blobs/sha256:xyz", http.StatusBadRequest),
		"a page that is no number":   ofAnn("/v2/"+repository+"/tags/list?n=x", http.StatusBadRequest),
		"an escape in the path":      ofAnn("/v2/acme%2fappliance/manifests/1.0", http.StatusBadRequest),
		"an unknown path":            ofAnn("/v2/"+repository+"/secrets/1", http.StatusNotFound),
		"a path that is not ours":    ofAnn("/admin", http.StatusNotFound),
		"nginx's question from afar": ofAnn("/_registry/authorize", http.StatusNotFound),
		"a target that is over-long": ofAnn("/v2/"+strings.Repeat("a/", 2500)+"tags/list", http.StatusBadRequest),
	}
}

// malformed are requests that are not of the API, or not of HTTP.
func (r *rig) malformed() map[string]refusal {
	table := map[string]refusal{}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "PROPFIND"} {
		c := r.stranger(method)
		table[method] = refused(request{method: method, uri: manifest("1.0"), body: c.token}.as(c), http.StatusMethodNotAllowed)
	}
	raw := func(name, lines string, statuses ...int) {
		c := r.stranger(name)
		lines = strings.ReplaceAll(lines, "CREDENTIAL", basic(c.user, c.token))
		table[name] = refused(request{raw: strings.ReplaceAll(lines, "TOKEN", c.token) + "\n\n"}, statuses...)
	}
	head := "GET " + manifest("1.0") + " HTTP/1.1\nHost: x\nConnection: close\n"
	raw("two credentials", head+"Authorization: CREDENTIAL\nAuthorization: CREDENTIAL", http.StatusBadRequest)
	raw("a control character in the header", head+"Authorization: Basic TOKEN\x01", http.StatusUnauthorized)
	raw("a header without a colon", head+"Authorization CREDENTIAL", http.StatusUnauthorized, http.StatusBadRequest)
	raw("a header with a space in its name", head+"Authori zation: CREDENTIAL", http.StatusUnauthorized, http.StatusBadRequest)
	raw("a folded header", head+"X-A: b\n Authorization: CREDENTIAL", http.StatusUnauthorized, http.StatusBadRequest)
	raw("NUL in the header", head+"Authorization: Basic TOKEN\x00", http.StatusBadRequest)
	raw("an unknown transfer coding", head+"Authorization: CREDENTIAL\nTransfer-Encoding: TOKEN", http.StatusNotImplemented)
	raw("a header too long for nginx", head+"Authorization: CREDENTIAL\nX-Long: "+strings.Repeat("TOKEN", 2000), http.StatusBadRequest)
	raw("TRACE", "TRACE /v2/ HTTP/1.1\nHost: x\nConnection: close\nAuthorization: CREDENTIAL", http.StatusMethodNotAllowed)
	raw("a target too long for nginx", "GET /v2/"+strings.Repeat("a/", 10000)+"tags/list HTTP/1.1\nHost: x\nAuthorization: CREDENTIAL", http.StatusRequestURITooLong)
	raw("no host", "GET /v2/ HTTP/1.1\nConnection: close\nAuthorization: CREDENTIAL", http.StatusBadRequest)
	raw("HTTP/1.0", "GET /v2/ HTTP/1.0\nAuthorization: CREDENTIAL", http.StatusUnauthorized)
	raw("a huge body", "GET /v2/ HTTP/1.1\nHost: x\nConnection: close\nContent-Length: 99999999999\nAuthorization: CREDENTIAL", http.StatusBadRequest, http.StatusRequestEntityTooLarge)
	return table
}

// secretsElsewhere are secrets in other headers, beside no or a good credential.
func (r *rig) secretsElsewhere() map[string]refusal {
	table := map[string]refusal{}
	for _, name := range []string{"Cookie", "Proxy-Authorization", "X-Api-Key", "X-Ecr-Authorization", "X-Ecr-Token-Id", "X-Upstream-Rejected-Token", "X-Registry-Auth"} {
		header := http.Header{name: {r.stranger("header " + name).token}}
		table[name+" alone"] = refused(request{uri: manifest("1.0"), header: header}, http.StatusUnauthorized)
		table[name+" and a credential"] = refused(request{uri: manifest("1.0"), header: header}.as(r.ann), http.StatusOK)
	}
	return table
}

// guess tries tokens until the address is banned, first of one user, then of many.
func (r *rig) guess(ctx context.Context) error {
	for i, name := range []func(int) string{func(int) string { return "one" }, func(n int) string { return fmt.Sprint("many ", n) }} {
		q := get("/v2/")
		q.from = fmt.Sprintf("127.2.0.%d", i+1)
		statuses := map[int]int{}
		for n := 0; statuses[http.StatusTooManyRequests] < 5; n++ {
			if n == 100 {
				return fmt.Errorf("guessing: expected 429 after a while, found the statuses %v", statuses)
			}
			c := r.stranger("guess " + name(n))
			status, err := r.ask(ctx, "guess", q.as(c))
			if err != nil {
				return err
			}
			statuses[status]++
		}
	}
	return nil
}

// withdraw ends a known customer's account.
func (r *rig) withdraw(ctx context.Context) error {
	q := get(manifest("1.0")).as(r.eve)
	if err := r.want(ctx, "a customer who will be withdrawn", q, http.StatusOK); err != nil {
		return err
	}
	r.stack.Vendor.RemoveAccount(r.eve.token)
	return r.eventually(ctx, "a withdrawn customer", q, http.StatusUnauthorized)
}
