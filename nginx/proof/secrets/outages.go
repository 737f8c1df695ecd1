package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

func (r *rig) outages(ctx context.Context) error {
	for _, outage := range []func(context.Context) error{
		r.vendorFails, r.registryFails, r.learningFails, r.probeFails, r.ecrFails, r.tokenFileBreaks, r.programsStop,
	} {
		if err := outage(ctx); err != nil {
			return err
		}
		if err := r.eventually(ctx, "after the outage", get(manifest("1.0")).as(r.ann), http.StatusOK); err != nil {
			return err
		}
	}
	return nil
}

// any asks and accepts every status: what a customer gets in an outage is the
// end-to-end tests' matter.
func (r *rig) any(ctx context.Context, what string, requests ...request) error {
	for _, q := range requests {
		if _, err := r.ask(ctx, what, q); err != nil {
			return err
		}
	}
	return nil
}

// vendorFails: a known customer and a new one, with a new authsvc each time, whose
// breakers are closed.
func (r *rig) vendorFails(ctx context.Context) error {
	defer r.stack.Vendor.TLS.ClearFaults()
	return r.faults(func(what string, f standin.Fault) error {
		if err := r.stack.RestartAuthsvc(ctx); err != nil {
			return err
		}
		r.stack.Vendor.TLS.Inject(f)
		defer r.stack.Vendor.TLS.ClearFaults()
		before := r.stack.Vendor.TLS.Received()
		time.Sleep(1100 * time.Millisecond) // cache.ttl
		err := r.any(ctx, "the vendor: "+what, get(manifest("1.0")).as(r.ann), get(manifest("1.0")).as(r.stranger("new")), get("/v2/_catalog").as(r.stranger("new")))
		if err == nil && r.stack.Vendor.TLS.Received() == before {
			err = errors.New("the vendor's API was not asked")
		}
		return err
	})
}

// registryFails: what nginx forwards to.
func (r *rig) registryFails(ctx context.Context) error {
	defer r.stack.ECR.Front.ClearFaults()
	return r.faults(func(what string, f standin.Fault) error {
		if f.Hang {
			return nil // nginx waits for minutes, and logs a line like that of a reset
		}
		before := r.stack.ECR.Front.Received()
		r.stack.ECR.Front.Inject(f)
		defer r.stack.ECR.Front.ClearFaults()
		err := r.any(ctx, "the registry: "+what, get(manifest("1.0")).as(r.ann), get("/v2/"+repository+"/blobs/"+r.layer).as(r.ann))
		if err == nil && r.stack.ECR.Front.Received() == before {
			err = errors.New("the registry was not asked")
		}
		return err
	})
}

// learningFails: what authsvc asks, about tags that it does not know.
func (r *rig) learningFails(ctx context.Context) error {
	defer r.stack.ECR.Endpoint.ClearFaults()
	n := 0
	return r.faults(func(what string, f standin.Fault) error {
		n++
		if err := r.stack.RestartAuthsvc(ctx); err != nil { // closes its breakers
			return err
		}
		before := r.stack.ECR.Endpoint.Received()
		r.stack.ECR.Endpoint.Inject(f)
		defer r.stack.ECR.Endpoint.ClearFaults()
		err := r.any(ctx, "learning: "+what, get("/v2/"+repository+"/tags/list").as(r.ann),
			get(manifest("sha256:"+fmt.Sprintf("%064d", n))).as(r.ann), get(fmt.Sprintf("/v2/else/where%d/tags/list", n)).as(r.ann))
		if err == nil && r.stack.ECR.Endpoint.Received() == before {
			err = errors.New("the registry was not asked")
		}
		return err
	})
}

// probeFails: where tokenrefresher tests a token, of ECR and of another registry.
func (r *rig) probeFails(ctx context.Context) error {
	defer r.stack.ECR.Front.ClearFaults()
	return r.faults(func(what string, f standin.Fault) error {
		r.echo.Inject(f)
		err := until(ctx, func() error { return r.refreshOther(ctx, what) }) // it may wait after a failure
		r.echo.ClearFaults()
		if err != nil {
			return err
		}
		f.Match = standin.Path("/v2/")
		r.stack.ECR.Front.Inject(f)
		err = r.refreshed(ctx, r.stack.ECR.API)
		r.stack.ECR.Front.ClearFaults()
		return err
	})
}

// refreshOther asks tokenrefresher's control socket to read and test the password of
// the other registry again, and searches the answer.
func (r *rig) refreshOther(ctx context.Context, what string) error {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.stack.Dir, "control.sock"))
	}}
	before := r.echo.Received()
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/refresh?registry=other", nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(hr)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it is read
	text, err := httputil.DumpResponse(response, true)
	if err != nil {
		return err
	}
	r.answered("control socket: "+what, string(text))
	if r.echo.Received() == before {
		return errors.New("tokenrefresher did not test the other registry's password")
	}
	return nil
}

// refreshed rejects the token, so that tokenrefresher asks for a new one, and waits
// until it has asked server.
func (r *rig) refreshed(ctx context.Context, server *standin.Server) error {
	before := server.Received()
	r.stack.ECR.InvalidateTokens()
	return until(ctx, func() error {
		if err := r.any(ctx, "a rejected token", get(manifest("1.0")).as(r.ann)); err != nil {
			return err
		}
		if server.Received() == before {
			return errors.New("tokenrefresher did not ask for a token")
		}
		return nil
	})
}

// ecrFails: what AWS answers, down to a token in an answer that cannot be read.
func (r *rig) ecrFails(ctx context.Context) error {
	token := base64.StdEncoding.EncodeToString([]byte("AWS:" + r.stranger("unreadable answer").token))
	amz := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
	extra := map[string]standin.Fault{
		"AccessDenied": {Status: 400, Body: ecr.APIFault("AccessDeniedException", "not "+standin.Echo), Header: amz},
		"throttled":    {Status: 400, Body: ecr.APIFault("ThrottlingException", token), Header: amz},
	}
	for name, body := range map[string]string{
		"no time":      `{"authorizationData":[{"authorizationToken":"` + token + `","expiresAt":"soon","proxyEndpoint":"https://x"}]}`,
		"no end":       `{"authorizationData":[{"authorizationToken":"` + token,
		"no base64":    `{"authorizationData":[{"authorizationToken":"!` + token + `","expiresAt":9999999999,"proxyEndpoint":"https://x"}]}`,
		"no endpoint":  `{"authorizationData":[{"authorizationToken":"` + token + `","expiresAt":9999999999,"proxyEndpoint":"` + token + `"}]}`,
		"expired":      `{"authorizationData":[{"authorizationToken":"` + token + `","expiresAt":1,"proxyEndpoint":"https://x"}]}`,
		"of no type":   `{"authorizationData":{"authorizationToken":["` + token + `"]}}`,
		"two of them":  `{"authorizationData":[{"authorizationToken":"` + token + `"},{"authorizationToken":"` + token + `"}]}`,
		"not accepted": `{"authorizationData":[{"authorizationToken":"` + token + `","expiresAt":9999999999,"proxyEndpoint":"https://` + r.stack.ECR.Host() + `"}]}`,
	} {
		extra["a token that is: "+name] = standin.Fault{Status: 200, Body: body, Header: amz}
	}
	defer r.stack.ECR.API.ClearFaults()
	try := func(what string, f standin.Fault) error {
		r.stack.ECR.API.Inject(f)
		defer r.stack.ECR.API.ClearFaults()
		if err := r.refreshed(ctx, r.stack.ECR.API); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	for _, name := range sortedKeys(extra) {
		if err := try(name, extra[name]); err != nil {
			return err
		}
	}
	return r.faults(try)
}

// tokenFileBreaks: authsvc reads whatever is in the file, and after a restart has
// nothing else.
func (r *rig) tokenFileBreaks(ctx context.Context) error {
	if err := r.stack.StopTokenrefresher(); err != nil {
		return err
	}
	good, err := os.ReadFile(r.stack.TokenFile())
	if err != nil {
		return err
	}
	r.mu.Lock()
	broken := r.set.New("token in a broken file")
	r.mu.Unlock()
	entry := func(host, token, expires string) string {
		return fmt.Sprintf(`{"version":1,"host":%q,"token":%q,"expiresAt":%q,"fetchedAt":"2026-01-01T00:00:00Z"}`, host, token, expires)
	}
	value := base64.StdEncoding.EncodeToString([]byte("AWS:" + broken))
	const later = "2999-01-01T00:00:00Z"
	contents := map[string]string{
		"nothing": "", "no JSON": broken, "half an entry": `{"version":1,"host":"x.example","token":"` + broken,
		"a number": `{"version":1,"host":"x.example","token":` + broken + `}`, "another key": `{"` + broken + `":"` + broken + `"}`,
		"a list": `{"version":1,"host":"x.example","token":["` + broken + `"]}`, "a bad time": entry("x.example", value, broken),
		"no base64": entry("x.example", "!"+value, later), "no user": entry("x.example", base64.StdEncoding.EncodeToString([]byte(broken)), later),
		"a control character": entry("x.example", value+"\x01", later), "a bad host": entry("X/", value, later), "an expired token": entry("x.example", value, "2026-01-02T00:00:00Z"),
		"half of a good one": string(good[:len(good)/2]), "a good one and more": string(good) + broken,
	}
	for _, name := range sortedKeys(contents) {
		if err := os.WriteFile(r.stack.TokenFile(), []byte(contents[name]), 0o600); err != nil {
			return err
		}
		if err := r.restartUnready(ctx); err != nil {
			return fmt.Errorf("a token file with %s: %w", name, err)
		}
		if err := r.any(ctx, "a token file with "+name, get(manifest("1.0")).as(r.ann), get("/v2/").as(r.ann)); err != nil {
			return err
		}
		out, err := r.program(ctx, nil, "tokenrefresher", "status", "--config", filepath.Join(r.stack.Dir, "tokenrefresher.yaml"))
		if err == nil {
			return fmt.Errorf("tokenrefresher status: expected an error for a token file with %s, found: %s", name, out)
		}
	}
	if err := os.Remove(r.stack.TokenFile()); err != nil {
		return err
	}
	if err := r.restartUnready(ctx); err != nil {
		return err
	}
	err = r.any(ctx, "no token file", get(manifest("1.0")).as(r.ann))
	return errors.Join(err, r.stack.StartTokenrefresher(ctx))
}

// programsStop: each of the programs is gone or hangs while nginx asks.
func (r *rig) programsStop(ctx context.Context) error {
	all := []request{get(manifest("1.0")).as(r.ann), get("/v2/").as(r.stranger("asks nobody")), get("/v2/_catalog").as(r.ann), request{method: http.MethodPost, uri: "/v2/"}.as(r.ann)}
	if err := r.stack.PauseAuthsvc(); err != nil {
		return err
	}
	if err := errors.Join(r.any(ctx, "authsvc hangs", all...), r.stack.ResumeAuthsvc(), r.stack.KillAuthsvc()); err != nil {
		return err
	}
	if err := errors.Join(r.any(ctx, "authsvc is gone", all...), r.stack.StartAuthsvc(ctx), r.stack.StopTokenrefresher()); err != nil {
		return err
	}
	r.stack.ECR.InvalidateTokens()
	return errors.Join(r.any(ctx, "tokenrefresher is gone", all...), r.stack.StartTokenrefresher(ctx))
}

// restartUnready restarts authsvc with a token that it cannot use. It answers, but is
// never ready.
func (r *rig) restartUnready(ctx context.Context) error {
	c, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if err := r.stack.RestartAuthsvc(c); err == nil {
		return errors.New("authsvc is ready without a token")
	}
	return until(ctx, func() error {
		return r.fetch(ctx, "health", "authsvc/readyz without a token", r.stack.AuthsvcURL()+"/readyz")
	})
}
