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
	cmd := &cobra.Command{
		Use:   "status [REGISTRY]...",
		Short: "Show the age and expiry of every registry's token",
		Long: `Read the token file of every configured registry, or of those named, as authsvc
does, and show which host it is for, how old it is, and when it expires.
Exits with 1 if a token is missing, damaged or expired, and names the registry.
A token whose replacement is overdue still serves: it is shown, and the exit
status is 0. Works without a running daemon.`,
		Example: `  tokenrefresher status
  tokenrefresher status eu us
  tokenrefresher status --json --config tokenrefresher.yaml | jq '.[] | select(.usable | not)'`,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := load(cmd)
			if err != nil {
				return err
			}
			registries, err := chosen(c.Registries, names)
			if err != nil {
				return err
			}
			now := time.Now()
			var entries []status.Entry
			for _, r := range registries {
				entries = append(entries, status.Read(r.Name, r.File, schedule(c), now))
			}
			if asJSON {
				err = status.WriteJSON(cmd.OutOrStdout(), entries)
			} else {
				err = status.WriteTable(cmd.OutOrStdout(), entries, now)
			}
			if unusable := status.Unusable(entries); err == nil && len(unusable) > 0 {
				err = fmt.Errorf("registries without a usable token: %s (%d of %d)", strings.Join(unusable, ", "), len(unusable), len(entries))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: an array of {registry, file, host, fetchedAt, expiresAt, overdueSince, usable, problem}")
	return cmd
}

// chosen returns the registries with these names, or all without any.
func chosen(registries []config.Registry, names []string) ([]config.Registry, error) {
	if len(names) == 0 {
		return registries, nil
	}
	var found []config.Registry
	for _, name := range names {
		i := slices.IndexFunc(registries, func(r config.Registry) bool { return r.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no registry %.64q in the configuration", name)
		}
		found = append(found, registries[i])
	}
	return found, nil
}
