package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/tokenrefresher/config"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/status"
)

func statusCommand(load program.Loader[config.Config]) *cobra.Command {
	var asJSON bool
	var without []string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the age and expiry of every registry's token",
		Long: `Read the token file of every configured registry, as authsvc does, and show
which host it is for, how old it is, and when it expires. Exits with 1 if a
token is missing, damaged or expired, and names the registry; those that are
named by --without do not count. A token whose replacement is overdue still
serves: it is shown, and the exit status is 0. Works without a running daemon.`,
		Example: `  tokenrefresher status
  tokenrefresher status --without us
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
				entries = append(entries, status.Read(r.Name, r.File, schedule(c), now))
			}
			if asJSON {
				err = status.WriteJSON(cmd.OutOrStdout(), entries)
			} else {
				err = status.WriteTable(cmd.OutOrStdout(), entries, now)
			}
			unusable := slices.DeleteFunc(status.Unusable(entries), func(name string) bool { return slices.Contains(without, name) })
			if err == nil && len(unusable) > 0 {
				err = fmt.Errorf("registries without a usable token: %s (%d of %d)", strings.Join(unusable, ", "), len(unusable), len(entries))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: an array of {registry, file, host, fetchedAt, expiresAt, overdueSince, usable, problem}")
	cmd.Flags().StringSliceVar(&without, "without", nil, "names of registries that may be without a usable token")
	return cmd
}
