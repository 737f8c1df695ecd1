// Command tokenrefresher keeps the tokens of registries fresh. It fetches each from
// AWS ECR (or reads user and password from files), tests it against the registry,
// and writes it to a file that authsvc reads. README.md has the settings, the
// file's format, and the control socket.
//
// Where to read on: build.go builds the parts from the configuration; package
// refresh has the loop; report.go has "tokenrefresher status".
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
)

func main() { program.Main("tokenrefresher", run) }

// run is the program. It returns when ctx ends and the requests in flight are
// answered, or on a fatal error. Logs go to stderr, a command's output to stdout.
// The AWS SDK reads the process's environment, not environ.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	var just bool
	root := &cobra.Command{
		Use:   "tokenrefresher",
		Short: "Keep the tokens of registries fresh",
		Long: `tokenrefresher keeps the token of each configured registry fresh. It fetches
a token from AWS ECR with the credential that the AWS SDK finds (instance role,
environment, profile, web identity), tests it against the registry, and
replaces the file that authsvc reads. If a refresh fails, the last good token
stays in the file until it expires.

List the registries in the YAML file under registries, each with:

` + config.RegistryHelp() + `
Set any other key in the file, in the environment (backoff.max is
TOKENREFRESHER_BACKOFF_MAX), or with a flag (--backoff.max). Flags take
precedence over the environment, and both over the file. Logs are JSON lines
on stderr.

Without a command it runs until SIGTERM. With --once, for cron or a systemd
timer, it refreshes every registry once, in at most ` + fmt.Sprint(onceAttempts) + ` attempts, and exits with 1
if any registry got no new token.`,
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
	root.AddCommand(statusCommand(load), load.CheckConfig(`Check the configuration, including its CA files and groups. Makes no network
requests.`, check))
	return program.Execute(ctx, root, args, stdout, stderr)
}
