package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/authsvc/explain"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

// The exit statuses of explain and licenses, besides 0 and 1.
const (
	statusUsage   = 2
	statusRefused = 3
	statusOutage  = 4
)

const statusHelp = `
Exit status: 0 allowed, 3 refused, 4 outage, 2 wrong usage, 1 anything else, such as
no answer from authsvc, or nothing known without the token.`

// An inquiry is what explain and licenses have in common.
type inquiry struct {
	user             string
	tokenStdin, json bool
}

// socketOf reads the configuration's explain.address.
type socketOf func(*cobra.Command) (string, error)

// newExplain is the command that explains a request.
func newExplain(socket socketOf) *cobra.Command {
	var i inquiry
	cmd := &cobra.Command{
		Use:   "explain --user USER [--token-stdin] [--json] REFERENCE",
		Short: "Explain what a customer's request would get, and why",
		Long: `explain asks the running authsvc what a customer's request would get, by the
same decision as for the customer, and prints what each step finds: the
credential, each license and what of it matches, the tag that opens a digest, the
registry's token, and the answer that the customer gets. It changes nothing: no
cache, no metric, no limit on guessing. Limits on guessing (429) depend on the
customer's address and are not part of it.

REFERENCE is an image (acme/appliance:1.9 or acme/appliance@sha256:…) or a path of
the API (/v2/acme/appliance/blobs/sha256:…).

Without the customer's token, it explains what is cached for the user, or what the
source can tell without the token. The token is read from standard input only.

It asks over the socket explain.address. Members of its group may ask.
` + statusHelp,
		Example: `  authsvc explain --user ann@acme.example acme/appliance:1.9
  authsvc explain --user ann@acme.example --token-stdin --json acme/appliance:1.9 < token`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return i.run(cmd, socket, func(ctx context.Context, c explain.Client, q explain.Question) (printer, explain.Result, error) {
				q.Reference = args[0]
				e, err := c.Explain(ctx, q)
				return e, e.Result, err
			})
		},
	}
	return i.flags(cmd)
}

// newLicenses is the command that shows what a customer may pull.
func newLicenses(socket socketOf) *cobra.Command {
	var i inquiry
	cmd := &cobra.Command{
		Use:   "licenses --user USER [--token-stdin] [--json]",
		Short: "Show what a customer has licensed, and which tags that opens now",
		Long: `licenses asks the running authsvc what a customer has licensed, until when, and
which tags of the registry that opens now. Like explain, it changes nothing, and
without the customer's token it shows what is known without it. It lists at most 50
repositories, those of the customer's own catalog, and 500 tags of each.
` + statusHelp,
		Example: `  authsvc licenses --user ann@acme.example
  authsvc licenses --user ann@acme.example --token-stdin --json < token`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return i.run(cmd, socket, func(ctx context.Context, c explain.Client, q explain.Question) (printer, explain.Result, error) {
				a, err := c.Licenses(ctx, q)
				return a, a.Result, err
			})
		},
	}
	return i.flags(cmd)
}

func (i *inquiry) flags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&i.user, "user", "", "the customer's user name, as typed at docker login (required)")
	cmd.Flags().BoolVar(&i.tokenStdin, "token-stdin", false, "read the customer's token from standard input")
	cmd.Flags().BoolVar(&i.json, "json", false, "print JSON")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return program.Status{Code: statusUsage, Err: err} })
	return cmd
}

// usage gives mistakes in the arguments their exit status.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return program.Status{Code: statusUsage, Err: fmt.Errorf("%w; usage: %s%s", err, cmd.CommandPath(), strings.TrimPrefix(cmd.Use, cmd.Name()))}
		}
		return nil
	}
}

type printer interface{ Print(io.Writer) error }

// run asks, prints the answer, and ends with its exit status.
func (i *inquiry) run(cmd *cobra.Command, socket socketOf, ask func(context.Context, explain.Client, explain.Question) (printer, explain.Result, error)) error {
	if i.user == "" || strings.Contains(i.user, ":") {
		return program.Status{Code: statusUsage, Err: errors.New("--user: expected a user name without a colon")}
	}
	q := explain.Question{User: i.user}
	if i.tokenStdin {
		var err error
		if q.Token, err = readToken(cmd.InOrStdin()); err != nil {
			return program.Status{Code: statusUsage, Err: err}
		}
	}
	path, err := socket(cmd)
	if err != nil {
		return err
	}
	answer, result, err := ask(cmd.Context(), explain.Client{Socket: path}, q)
	if err != nil {
		return err
	}
	if i.json {
		out := json.NewEncoder(jsonWriter{cmd.OutOrStdout()})
		out.SetIndent("", "  ")
		err = out.Encode(answer)
	} else {
		err = answer.Print(cmd.OutOrStdout())
	}
	if code := map[explain.Result]int{explain.Refused: statusRefused, explain.Outage: statusOutage, explain.Unknown: 1}[result]; err == nil && code != 0 {
		return program.Status{Code: code}
	}
	return err
}

// maxTokenBytes bounds what is read: the longest credential that authsvc accepts is
// 8 KB.
const maxTokenBytes = 8 << 10

// readToken reads a token, and cuts the end of its line.
func readToken(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxTokenBytes+1))
	if err != nil {
		return "", fmt.Errorf("reading the token from standard input: %w", err)
	}
	token := strings.TrimRight(string(text), "\r\n")
	if token == "" || len(text) > maxTokenBytes {
		return "", fmt.Errorf("expected a token of 1 to %d bytes on standard input, found %d", maxTokenBytes, len(text))
	}
	return token, nil
}
