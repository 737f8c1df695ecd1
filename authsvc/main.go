// Command authsvc answers nginx's auth_request for a private registry: it
// validates a customer's credential with the vendor, looks whether the
// customer's licenses open what is asked for, and hands nginx the upstream
// registry's Authorization.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/tokenrefresher/program"
)

func main() {
	tune()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Environ(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "authsvc:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

// tune fits Go's runtime to the work, unless the environment says otherwise.
// A decision takes microseconds, so waking another processor for it costs more
// than it helps: one serves tens of thousands a second, and leaves the others
// to nginx. What lives is the cache, which is small, and what dies are the
// requests, which are many: fewer collections for a few megabytes.
func tune() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// limitMemory keeps the collector from leaving four times of what a full
// memory of releases takes, unless the environment says otherwise.
func limitMemory(maxDigests int) {
	// Bytes. A digest takes 141, and most of them are there twice while a graph
	// is trimmed.
	const others, perDigest = 128 << 20, 250
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(others + perDigest*int64(maxDigests))
	}
}

// run is the program. It returns when ctx ends and what was in flight is
// answered, or when it cannot go on.
func run(ctx context.Context, args, environ []string, stdout io.Writer) error {
	var file string
	root := &cobra.Command{
		Use:   "authsvc",
		Short: "Decide for nginx which customer may pull which image",
		Long: `authsvc answers nginx's auth_request for a private registry. It validates a
customer's e-mail and API token with the vendor's API, looks whether the
customer's licenses open what is asked for, and hands nginx the upstream
registry's current Authorization.

Every key of the configuration can stand in the YAML file, in the environment
(cache.ttl is AUTHSVC_CACHE_TTL), or as a flag (--cache.ttl); the later win.`,
		Example: `  authsvc --config /etc/authsvc/authsvc.yaml
  authsvc check-config --config /etc/authsvc/authsvc.yaml
  authsvc --listen.address tcp:127.0.0.1:8080 --upstream.token_file /tmp/main.json`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&file, "config", "", "the YAML file")
	config.Flags(root.PersistentFlags())
	root.SetArgs(args)
	root.SetOut(stdout)

	load := func(cmd *cobra.Command) (config.Config, error) {
		return config.Load(file, environ, cmd.Flags())
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load(cmd)
		if err != nil {
			return err
		}
		lines := newLineWriter(stdout)
		defer lines.Close()
		logger := slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: c.Log.Level}))
		return serve(cmd.Context(), c, logger)
	}
	root.AddCommand(program.Commands()...)
	root.AddCommand(&cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration and do nothing else",
		Long: `Check the configuration, the jq expressions and the CA files in it included.
Nobody is asked. Exits with 1 if something is wrong, and says what.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd)
			if err != nil {
				return err
			}
			if err := check(c); err != nil {
				return err
			}
			_, err = fmt.Fprintln(stdout, "the configuration is valid")
			return err
		},
	})
	return root.ExecuteContext(ctx)
}
