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

	"github.com/pullgate/pullgate/authsvc/content"
	"github.com/pullgate/pullgate/authsvc/content/control"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/log"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

// contentRoot is the command line of the content store. It is a root of its own:
// the flags of authsvc are not its.
func contentRoot(environ []string) *cobra.Command {
	root := &cobra.Command{
		Use:         "content",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "authsvc content"},
		Short:       "Keep the images on this machine, for nginx to serve as files",
		Long: `authsvc content is the content store. nginx serves what is in the store's folder
as files. What is not there, nginx asks the store for: it fetches it from the
registry with the Authorization that nginx sends, follows the redirect to the
registry's storage, verifies the digest, keeps the file, and streams it meanwhile
to everybody who wants it. It holds no credential.

List the registries in the YAML file under upstreams, each with name, host, and
optionally address. Set any other key in the file, in the environment (max_size
is AUTHSVC_CONTENT_MAX_SIZE), or with a flag (--max_size). Flags take precedence
over the environment, and both over the file. Logs are JSON lines on stdout.

Without a command it runs until SIGTERM.`,
		Example: `  authsvc content
  authsvc content check-config --config content.yaml
  authsvc content status
  authsvc content warm acme/appliance:1.9
  authsvc content verify
  authsvc content drop sha256:0123…`,
		Args: cobra.NoArgs,
	}
	file := root.PersistentFlags().String("config", "/etc/authsvc/content.yaml", "YAML file to read")
	content.Flags(root.PersistentFlags())
	load := program.Loader[content.Config](func(cmd *cobra.Command) (content.Config, error) {
		return content.Load(*file, environ, cmd.Flags())
	})
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load(cmd)
		if err != nil {
			return err
		}
		return serveContent(cmd.Context(), c, cmd.OutOrStdout())
	}
	socket := func(cmd *cobra.Command) (control.Client, error) {
		path, err := content.ControlSocket(*file, environ, cmd.Flags())
		return control.NewClient(path), err
	}
	root.AddCommand(contentStatus(socket), contentVerify(socket), contentDrop(socket), contentWarm(load), load.CheckConfig(`Check the configuration of the content store, including its folder, CA file, and
group. Makes no network requests.`, content.Check))
	return root
}

func serveContent(ctx context.Context, c content.Config, stdout io.Writer) error {
	tuneContent()
	lines := log.NewWriter(stdout)
	defer lines.Close()
	folder := log.Fold(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: c.LogLevel}), time.Minute)
	defer folder.Close()
	return content.Serve(ctx, c, slog.New(folder), program.NewMetrics("authsvc_content"))
}

// tuneContent fits Go's runtime to the store's work, unless the environment says
// otherwise: it decrypts and hashes on all processors, and its memory is buffers
// that are used again.
func tuneContent() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS()
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(100)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(256 << 20)
	}
}

// newContent is the command of authsvc that runs root, the content store's.
func newContent(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:                "content",
		Short:              root.Short,
		Long:               root.Long,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return program.Execute(cmd.Context(), root, args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}
