package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

// A scene is one docker command of one person, and its expected result.
type scene struct {
	who  person
	what string
	// The token to log in with, or the image to pull.
	login, pull string
	// again says that the registry and its storage are switched off, and the image is
	// not on the customer's machine any more.
	again bool
	// refused are words that the refusal must contain; empty for success.
	refused []string
}

func (d *demo) scenes() []scene {
	return []scene{
		{who: ann, what: "logs in with her email and API token", login: ann.token},
		{who: ann, what: "pulls what she has licensed", pull: "vendor/appliance:1.4"},
		{who: ann, what: "pulls it again, with the registry and its storage switched off", pull: "vendor/appliance:1.4", again: true},
		{who: ann, what: "asks for a release that her license does not include", pull: "vendor/appliance:2.0",
			refused: []string{"not part of your license"}},
		{who: bob, what: "logs in: the account is valid", login: bob.token},
		{who: bob, what: "pulls with a license that has expired", pull: "vendor/appliance:1.4",
			refused: []string{"denied: ", "lic_bygone", "expired on", "renew at https://vendor.com/licenses"}},
		{who: eve, what: "logs in", login: eve.token},
		{who: eve, what: "pulls from a repository that she has not licensed", pull: "vendor/appliance:1.4",
			refused: []string{"not part of your license"}},
		{who: eve, what: "pulls what she has licensed", pull: "vendor/tools:5.1"},
		{who: ann, what: "logs in with a wrong token", login: "guess",
			refused: []string{"nauthorized"}},
	}
}

// play plays the scenes, and stops at the first that fails.
func (d *demo) play(ctx context.Context) error {
	d.out.title("the customers, each with their own docker")
	clients := map[string]*stack.DockerClient{}
	for _, p := range []person{ann, bob, eve} {
		client, err := d.engine.Client()
		if err != nil {
			return err
		}
		clients[p.email] = client
		for _, l := range p.licenses {
			d.out.line("%-20s %s", p.email, describe(l))
		}
	}
	for _, s := range d.scenes() {
		if err := d.playOne(ctx, clients[s.who.email], s); err != nil {
			return fmt.Errorf("%s %s: %w\nend of authsvc's log:\n%s\nend of nginx's error log:\n%s",
				s.who.email, s.what, err, d.stack.Log("authsvc"), d.stack.Log("nginx-error"))
		}
	}
	return nil
}

func (d *demo) playOne(ctx context.Context, client *stack.DockerClient, s scene) (failed error) {
	d.out.title("%s %s", s.who.email, s.what)
	if s.again {
		mend, err := d.switchOff(ctx, client, d.stack.Host+"/"+s.pull)
		if err != nil {
			return err
		}
		defer func() { failed = errors.Join(failed, mend()) }()
	}
	var out string
	var err error
	if s.login != "" {
		d.out.command("docker login --username %s --password-stdin %s", s.who.email, d.stack.Host)
		out, err = client.Login(ctx, d.stack.Host, s.who.email, s.login)
	} else {
		ref := d.stack.Host + "/" + s.pull
		d.out.command("docker pull %s", ref)
		out, err = client.Pull(ctx, ref)
	}
	d.out.terminal(readable(out))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case len(s.refused) == 0:
		return err
	case err == nil:
		return fmt.Errorf("expected a refusal with %q, but docker succeeded", s.refused)
	}
	for _, word := range s.refused {
		if !strings.Contains(out, word) {
			return fmt.Errorf("expected the refusal to contain %q, found %q", word, out)
		}
	}
	return nil
}

// switchOff switches the registry and its storage off, and removes an image from the
// customer's machine. mend switches them on.
func (d *demo) switchOff(ctx context.Context, client *stack.DockerClient, ref string) (mend func() error, err error) {
	for !d.stack.ContentIdle(ctx) { // it keeps what the last pull has fetched
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	d.out.command("docker rmi %s", ref)
	if err := client.Remove(ctx, ref); err != nil {
		return nil, err
	}
	bucket := d.stack.ECR.Bucket
	on, err := d.stack.Upstreams["main"].Fail(stack.Refuses)
	return func() error { return errors.Join(on(), bucket.Accept()) }, errors.Join(err, bucket.Refuse())
}

// readable drops the steps of each layer, and docker's advice on credential
// stores, since the password is in a directory that is removed.
func readable(out string) string {
	var kept []string
	advice := false
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "WARNING! Your") {
			advice = true
		}
		if advice {
			advice = !strings.HasPrefix(line, "https://")
			continue
		}
		if line != "" && !steps.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

var steps = regexp.MustCompile(`^[0-9a-f]{12}: (Pulling fs layer|Waiting|Verifying Checksum|Download complete|Already exists)$`)
