package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/probe"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// newProbe is the command that makes up a pull.
func newProbe(environ []string) *cobra.Command {
	var record bool
	cmd := &cobra.Command{
		Use:   "probe [--record]",
		Short: "Make up a pull through nginx, and say which step fails",
		Long: `probe asks nginx as a customer would, always as far as the registry: it connects,
logs in, and gets a manifest and the first bytes of a blob. So it sees what only
nginx sees: its resolver, its CA file, its way to the registry and the storage.
It prints what each step finds, and ends with the first that fails.

The section probe of the configuration says what is pulled, as which account.
authsvc recognizes the account, counts its requests in no metric of customers, and
does not limit them.

The package's timer authsvc-probe.timer runs it once a minute. systemd passes the
credential to that unit; by hand, run the unit, or name the file as root:
  systemctl start authsvc-probe.service; journalctl -u authsvc-probe.service
  authsvc probe --probe.credential_file /etc/authsvc/secrets/probe

Exit status: 0 all is well, 3 a step failed, 1 anything else.`,
		Example: `  authsvc probe --probe.credential_file /etc/authsvc/secrets/probe
  authsvc probe --probe.address "" --probe.credential_file /etc/authsvc/secrets/probe`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.LoadProbe(cmd.Flags().Lookup("config").Value.String(), environ, cmd.Flags())
			if err != nil {
				return err
			}
			return runProbe(cmd.Context(), c, record, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&record, "record", false, "write the result to probe.result_file, and print only what fails")
	return cmd
}

// runProbe pulls, and prints what each step finds. If it records the result, it prints
// what fails alone.
func runProbe(ctx context.Context, c probe.Config, record bool, out io.Writer) error {
	if !c.Enabled() {
		return errors.New("probe.url is not set, so there is nothing to pull; set the section probe of the configuration")
	}
	account, err := readProbeAccount(c)
	if path := settings.SecretPath(c.CredentialFile); errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(path, "$") {
		return errors.New("probe.credential_file: systemd passes " + path + " to its units alone; run systemctl start authsvc-probe.service, or name the file: --probe.credential_file /etc/authsvc/secrets/probe")
	}
	if err != nil {
		return err
	}
	result, err := probe.Pull(ctx, c, account, func(f probe.Finding) {
		if !record || f.Err != nil {
			printFinding(out, f)
		}
	})
	if err != nil {
		return err
	}
	if record {
		if err := result.Write(c.ResultFile); err != nil {
			return fmt.Errorf("probe.result_file: %w", err)
		}
	}
	if result.Failed != "" {
		return program.Status{Code: statusRefused}
	}
	return nil
}

func printFinding(out io.Writer, f probe.Finding) {
	verdict, text := "ok", f.Found
	if f.Err != nil {
		verdict, text = "FAILED", f.Err.Error()
	}
	took := f.Took.Round(100 * time.Microsecond)
	_, _ = fmt.Fprintf(out, "%-7s %-9s %8s  %s\n", verdict, f.Step, took, printable(text)) // there is nobody else to tell
	if f.Next != "" {
		_, _ = fmt.Fprintf(out, "%-7s %s\n", "next", printable(f.Next))
	}
}

// readProbeAccount reads the account of the made-up pulls; none if there are none.
func readProbeAccount(c probe.Config) (credential.Credential, error) {
	if !c.Enabled() {
		return credential.Credential{}, nil
	}
	path := settings.SecretPath(c.CredentialFile)
	account, err := probe.ReadCredential(path)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(path, "$") {
		err = fmt.Errorf("%w; authsvc.service needs LoadCredential=probe:/etc/authsvc/secrets/probe", err)
	}
	if err != nil {
		return account, fmt.Errorf("probe.credential_file: %w", err)
	}
	return account, nil
}
