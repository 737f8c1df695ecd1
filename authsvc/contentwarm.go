package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/authsvc/content"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/warm"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// contentWarm is the command content warm.
func contentWarm(load program.Loader[content.Config]) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "warm REPOSITORY:TAG…",
		Short: "Fetch all that tags reach, before customers ask for it",
		Long: `Have the running store fetch the manifests, configs, and layers of these images,
for all platforms: for the evening before a release. What is there already is only
read. Signatures and other referrers are not fetched.

The store holds no credential, so this command reads tokenrefresher's token file,
and talks to the store's socket as nginx does: run it as root.

Prints a line for each object.`,
		Example: `  authsvc content warm acme/appliance:1.9 acme/agent:2.0`,
		Args:    usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, images []string) error {
			c, err := load(cmd)
			if err != nil {
				return err
			}
			return warmImages(cmd.Context(), c, file, images, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&file, "token-file", "/run/tokenrefresher/main.json", "token file of the registry, which must be one of the upstreams")
	return cmd
}

func warmImages(ctx context.Context, c content.Config, file string, images []string, out io.Writer) error {
	token, err := tokenfile.Read(file)
	if err != nil {
		return err
	}
	if err := token.Usable(time.Now()); err != nil {
		return fmt.Errorf("token file %s: %w", file, err)
	}
	c.Origin.Metrics = prometheus.NewRegistry() // nobody reads them
	client, err := origin.New(c.Origin)
	if err != nil {
		return err
	}
	defer client.Close()
	upstream, ok := client.Named(token.Host)
	if !ok {
		return fmt.Errorf("token file %s: its registry %s is not one of the upstreams", file, token.Host)
	}
	for _, image := range images {
		began := time.Now()
		total, err := warm.Image(ctx, warm.Options{
			Socket: strings.TrimPrefix(c.Listen.Address, "unix:"), Origin: client, Upstream: upstream, Authorization: token.Authorization(),
			Wait: 3 * time.Second, Progress: func(p warm.Progress) {
				_, _ = fmt.Fprintf(out, "%d of %d  %s  %s\n", p.Done, p.Known, p.Object, settings.FormatSize(p.Size)) // there is nobody else to tell
			},
		}, image)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s: %d objects, %s in %s\n", image, total.Done, settings.FormatSize(total.Bytes), time.Since(began).Round(time.Second/10)); err != nil {
			return err
		}
	}
	return nil
}
