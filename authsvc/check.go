package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// checkConfig is the command check-config.
func checkConfig(load program.Loader[config.Config]) *cobra.Command {
	var online bool
	var cmd *cobra.Command
	cmd = load.CheckConfig(`Check the configuration, including its jq expressions and the files that it
names. Makes no network requests, unless --online is given: then it also asks
each source, the registry, and the token file whether they can be used, and
says what is wrong with each. No customer's credential is sent.

Files that systemd passes as credentials can be read while authsvc runs:
  CREDENTIALS_DIRECTORY=/run/credentials/authsvc.service authsvc check-config --online`, func(c config.Config) error {
		if err := check(cmd.Context(), c); err != nil || !online {
			return err
		}
		return checkOnline(cmd.Context(), c, cmd.OutOrStdout())
	})
	cmd.Flags().BoolVar(&online, "online", false, "also ask each source, the registry, and the token file")
	return cmd
}

// check builds everything that serve would build, and discards it.
func check(ctx context.Context, c config.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if _, err := newSources(c, newQuietly(ctx)); err != nil {
		return err
	}
	for _, u := range c.Upstreams {
		if _, err := newTransport(u); err != nil {
			return err
		}
	}
	if _, err := readProbeAccount(c.Probe); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := c.Probe.Check(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return c.Guard.Validate()
}

// newQuietly makes sources whose log and metrics nobody reads, until ctx ends.
func newQuietly(ctx context.Context) func(config.Source) (auth.Made, error) {
	quiet := auth.Environment{Logger: slog.New(slog.DiscardHandler), Observe: func(context.Context, string, time.Duration) {}, Fault: func(string, error) {}}
	return func(s config.Source) (auth.Made, error) { return s.Settings.New(ctx, quiet) }
}

// checkTimeout bounds one question of checkOnline.
const checkTimeout = 15 * time.Second

// checkOnline asks what the configuration names, and writes a line about each.
func checkOnline(ctx context.Context, c config.Config, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	newSource := newQuietly(ctx)
	wrong := 0
	report := func(what string, err error) {
		verdict := "ok"
		if err != nil {
			verdict = "FAILED: " + err.Error()
			wrong++
		}
		_, _ = fmt.Fprintf(out, "%s: %s\n", what, verdict) // there is nobody else to tell
	}
	for _, s := range c.Sources {
		made, err := newSource(s)
		if err == nil && made.Check != nil {
			err = within(ctx, made.Check)
		}
		report("source "+s.Name, err)
	}
	hosts := map[string]string{} // of registries by name
	for _, u := range c.Upstreams {
		token, err := tokenfile.Read(u.TokenFile)
		hosts[u.Name] = cmp.Or(token.Host, u.TokenFile)
		if err == nil {
			err = token.Usable(time.Now())
		}
		report("token file "+u.TokenFile, err)
		if err == nil {
			report("registry "+token.Host, within(ctx, func(ctx context.Context) error { return pingRegistry(ctx, u, token) }))
		}
	}
	if len(c.Upstreams) > 1 {
		report("names of repositories", checkHosts(c.Upstreams, hosts))
	}
	if wrong > 0 {
		return errors.New("the configuration is valid, but what it names cannot be used; see above")
	}
	return nil
}

// checkHosts finds registries with several tokens that are one. A name clashes in it as in
// any other, and it cannot stand by for itself.
func checkHosts(all []config.Upstream, hosts map[string]string) error {
	problems := config.Clashes(all, func(u config.Upstream) string { return hosts[u.Name] })
	for _, u := range all {
		if u.Standby != "" && hosts[u.Name] == hosts[u.Standby] {
			problems = append(problems, fmt.Errorf("expected another registry as the standby of %s, found the same one, %s", u.Name, hosts[u.Name]))
		}
	}
	return errors.Join(problems...)
}

func within(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return ask(ctx)
}

// pingRegistry asks the registry whether it accepts the token.
func pingRegistry(ctx context.Context, u config.Upstream, token tokenfile.Token) error {
	transport, err := newTransport(u)
	if err != nil {
		return err
	}
	status, err := upstream.Ping(ctx, transport, token)
	switch {
	case err != nil || status == http.StatusOK:
		return err
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("expected status 200, found %d: the registry rejects the token; see tokenrefresher status", status)
	}
	return fmt.Errorf("expected status 200, found %d", status)
}
