// Command tokenrefresher keeps the tokens of registries fresh. It fetches each from
// AWS ECR (or reads user and password from files), tries it at the registry, and
// writes it to a file that authsvc reads. README.md has the settings, the file's
// format, and the control socket.
//
// Where to read on: build.go makes the parts of the configuration; package refresh
// has the loop.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/tokenrefresher/config"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/log"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/status"
)

func main() { program.Main("tokenrefresher", run) }

// run is the program. It returns when ctx ends and what was in flight is
// answered, or when it cannot go on. Logs go to stderr, what was asked for to
// stdout. The AWS SDK reads the process's environment, and not environ.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	var just bool
	root := &cobra.Command{
		Use:   "tokenrefresher",
		Short: "Keep the tokens of registries fresh",
		Long: `tokenrefresher keeps the token of each configured registry fresh. It fetches
one from AWS ECR by the credential that the AWS SDK finds (instance role,
environment, profile, web identity), tries it at the registry, and replaces
the file that authsvc reads. A failure leaves the last good token where it is
until it really expires.

The registries stand in the YAML file, as the list registries, each with:

` + config.RegistryHelp() + `
Every other key can also come from the environment (backoff.max is
TOKENREFRESHER_BACKOFF_MAX) or from a flag (--backoff.max); the later win.
Logs are JSON lines on stderr.

Without a command it runs until SIGTERM. With --once it refreshes every
registry once, in ` + fmt.Sprint(onceAttempts) + ` attempts at most, and exits with 1 if one has got no new
token: for cron or a systemd timer.`,
		Example: `  tokenrefresher --config /etc/tokenrefresher/tokenrefresher.yaml
  tokenrefresher --config /etc/tokenrefresher/tokenrefresher.yaml --once
  tokenrefresher status
  curl --unix-socket /run/tokenrefresher/control.sock -X POST 'http://localhost/refresh?registry=main'`,
		Args: cobra.NoArgs,
	}
	load := program.NewLoader(root, environ, config.Load)
	config.Flags(root.PersistentFlags())
	root.Flags().BoolVar(&just, "once", false, "refresh every registry once, and exit")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load(cmd)
		if err != nil {
			return err
		}
		folder := log.Fold(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: c.Log.Level}), time.Minute)
		defer folder.Close()
		logger := slog.New(folder)
		if just {
			return once(cmd.Context(), c, logger)
		}
		return serve(cmd.Context(), c, logger)
	}
	root.AddCommand(statusCommand(load), load.CheckConfig(`Check the configuration, the CA files and groups in it included. Neither AWS
nor a registry is asked.`, check))
	return program.Execute(ctx, root, args, stdout, stderr)
}

func statusCommand(load program.Loader[config.Config]) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell age and expiry of every registry's token",
		Long: `Read the token file of every configured registry, as authsvc does, and tell
which registry it is for, how old it is, and when it expires. Exits with 1 if
one is missing, damaged or expired. No daemon is asked; none need run.`,
		Example: `  tokenrefresher status
  tokenrefresher status --json --config tokenrefresher.yaml | jq '.[] | select(.usable | not)'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd)
			if err != nil {
				return err
			}
			now := time.Now()
			var entries []status.Entry
			for _, r := range c.Registries {
				entries = append(entries, status.Read(r.Name, r.File, now))
			}
			if asJSON {
				err = status.WriteJSON(cmd.OutOrStdout(), entries)
			} else {
				err = status.WriteTable(cmd.OutOrStdout(), entries, now)
			}
			if n := status.Unusable(entries); err == nil && n > 0 {
				err = fmt.Errorf("registries without a usable token: %d of %d", n, len(entries))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: an array of {registry, file, host, fetchedAt, expiresAt, usable, problem}")
	return cmd
}
