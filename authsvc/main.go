// Command authsvc decides for nginx which customer may pull which image. It
// checks the customer's credential with the vendor's API, checks that a license
// covers the image, and gives nginx the registry's current Authorization.
// README.md has the settings, the messages, and a page on security.
//
// Where to read on: serve.go wires everything; package decision has the steps of
// a decision; package server answers nginx.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/log"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

func main() {
	tune()
	program.Main("authsvc", run)
}

// tune fits Go's runtime to the work, unless the environment says otherwise.
// A decision takes microseconds, so waking another processor for it costs more
// than it helps: one serves tens of thousands a second, and leaves the others
// to nginx. The live heap (the cache) is small and requests are many, so a few
// more megabytes save many garbage collections. More than twice the heap saves 1 % of
// the time, and costs 50 MB with 1,300 requests at once (nginx/e2e, TestOverload).
func tune() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}

// limitMemory keeps the heap from growing to four times the size of full
// caches, unless the environment says otherwise. The figures are bytes, a little
// above what was measured.
func limitMemory(c config.Config) {
	const others, perDigest, perEntry = 192 << 20, 250, 8 << 10
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(others + perDigest*int64(c.Release.MaxDigests) + perEntry*int64((c.Cache.MaxEntries+c.Cache.MaxRefusals)*len(c.Sources)))
	}
}

// foldFaults reduces a fault that repeats with every request to one line a
// minute. Decisions are never folded: an audit needs each of them. Neither is what a
// reload says to the one who waits for it.
func foldFaults(next slog.Handler) *log.Folder {
	never := []string{server.DecisionLine, reloadRefused}
	for _, s := range config.Table() {
		never = append(never, restartFor(s.Key))
	}
	return log.Fold(next, time.Minute, never...)
}

// run is the program. It returns when ctx ends and the requests in flight are
// answered, or on a fatal error.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:   "authsvc",
		Short: "Decide for nginx which customer may pull which image",
		Long: `authsvc answers nginx's auth_request for a private registry. It validates a
customer's e-mail and API token with the vendor's API, checks that the
customer's licenses cover the requested image, and hands nginx the upstream
registry's current Authorization.

Set any key in the YAML file, in the environment (cache.ttl is
AUTHSVC_CACHE_TTL), or with a flag (--cache.ttl). Flags take precedence over
the environment, and both over the file.`,
		Example: `  authsvc
  authsvc check-config --config authsvc.yaml
  authsvc log --request 5f3a9c01
  authsvc probe
  authsvc --config "" --listen.address tcp:127.0.0.1:8080 --upstream.token_file /tmp/main.json`,
		Args: cobra.NoArgs,
	}
	load := program.NewLoader(root, environ, config.Load)
	config.Flags(root.PersistentFlags())
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load(cmd)
		if err != nil {
			return err
		}
		lines := log.NewWriter(stdout)
		defer lines.Close()
		level := new(slog.LevelVar)
		handler := foldFaults(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: level}))
		defer handler.Close()
		return serve(cmd.Context(), c, func() (config.Config, error) { return load(cmd) }, level, slog.New(handler))
	}
	socket := func(cmd *cobra.Command) (string, error) {
		return config.ExplainSocket(root.PersistentFlags().Lookup("config").Value.String(), environ, cmd.Flags())
	}
	root.AddCommand(newExplain(socket), newLicenses(socket), newLog(load), newProbe(environ), checkConfig(load), grantsCommand(load))
	store := contentRoot(environ)
	root.AddCommand(newContent(store))
	return program.Execute(ctx, root, args, stdout, stderr, store)
}
