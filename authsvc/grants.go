package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

// maxAnswerFile bounds a saved answer, in bytes.
const maxAnswerFile = 64 << 20

// grantsCommand is the command grants.
func grantsCommand(load program.Loader[config.Config]) *cobra.Command {
	var name, file string
	cmd := &cobra.Command{
		Use:   "grants --source NAME --file ANSWER.json",
		Short: "Show which grants a source's expression makes of a saved answer",
		Long: `Run the grants expression of a source on an answer that you saved from it (for
kind jwt: on a token's claims), and print the grants as a table. If the
expression fails, say on which license, and at which line of the file.

Makes no network requests. --source can be left out if there is one source.`,
		Example: `  curl -H "Authorization: Bearer $TOKEN" https://api.vendor.com/v1/licenses >answer.json
  authsvc grants --config authsvc.yaml --file answer.json
  authsvc grants --source customers --file - <answer.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd)
			if err != nil {
				return err
			}
			answer, err := readAnswer(file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return tryGrants(cmd.Context(), c, name, file, answer, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&name, "source", "", "name of the source")
	cmd.Flags().StringVar(&file, "file", "", "file with the answer; - for standard input")
	_ = cmd.MarkFlagRequired("file") // the flag exists
	return cmd
}

func readAnswer(file string, stdin io.Reader) ([]byte, error) {
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer opened.Close() //nolint:errcheck // only read
		stdin = opened
	}
	answer, err := io.ReadAll(io.LimitReader(stdin, maxAnswerFile+1))
	if err == nil && len(answer) > maxAnswerFile {
		err = fmt.Errorf("%s: expected at most %d bytes, found more", file, maxAnswerFile)
	}
	return answer, err
}

// tryGrants prints the grants that the source's expression makes of an answer.
func tryGrants(ctx context.Context, c config.Config, name, file string, answer []byte, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if name == "" && len(c.Sources) == 1 {
		name = c.Sources[0].Name
	}
	at := slices.IndexFunc(c.Sources, func(s config.Source) bool { return s.Name == name })
	if at < 0 {
		return fmt.Errorf("--source: expected the name of a source (%s), found %q", sourceNames(c), name)
	}
	source, err := newQuietly(ctx)(c.Sources[at])
	switch {
	case err != nil:
		return fmt.Errorf("configuration: source %s: %w", name, err)
	case source.Try == nil:
		return fmt.Errorf("source %s has no grants expression", name)
	}
	grants, err := source.Try(ctx, answer)
	var failed *jq.LicenseError
	if errors.As(err, &failed) {
		return fmt.Errorf("%s:%d: %w", file, lineOf(answer, failed.License), err)
	} else if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return printGrants(out, grants, time.Now())
}

func sourceNames(c config.Config) string {
	var names []byte
	for _, s := range c.Sources {
		names = append(append(names, ", "...), s.Name...)
	}
	return string(bytes.TrimPrefix(names, []byte(", ")))
}

// printGrants prints a table.
func printGrants(out io.Writer, grants []auth.Grant, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REPOSITORY\tTAGS\tEXPIRES\tSTATE\tLICENSE")
	for _, g := range grants {
		expires, state := "never", "in force"
		if !g.Expires.IsZero() {
			expires = g.Expires.UTC().Format(time.RFC3339)
		}
		switch {
		case g.Withdrawn:
			state = "withdrawn"
		case !g.ValidAt(now):
			state = "expired"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", printable(g.Repository.String()), printable(g.Tag.String()), expires, state, printable(g.License))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(grants) == 0 {
		_, err := fmt.Fprintln(out, "(none: this account may pull nothing)")
		return err
	}
	return nil
}

// lineOf returns the line at which the first value equal to wanted begins in a JSON
// text; 1 if there is none, because the settings' expressions have changed it.
func lineOf(text []byte, wanted any) int {
	canonical, err := json.Marshal(wanted)
	if err != nil {
		return 1
	}
	f := finder{decoder: json.NewDecoder(bytes.NewReader(text)), text: text, wanted: canonical, found: -1}
	f.decoder.UseNumber()
	if _, err := f.value(); err != nil || f.found < 0 {
		return 1
	}
	return 1 + bytes.Count(text[:f.found], []byte("\n"))
}

// A finder looks for a value in a JSON text.
type finder struct {
	decoder *json.Decoder
	text    []byte
	wanted  []byte // as json.Marshal writes it
	found   int
}

// value reads one value.
func (f *finder) value() (any, error) {
	begin := int(f.decoder.InputOffset())
	for begin < len(f.text) && bytes.IndexByte([]byte(" \t\r\n,:"), f.text[begin]) >= 0 {
		begin++
	}
	token, err := f.decoder.Token()
	if err != nil {
		return nil, err
	}
	value := any(token)
	switch token {
	case json.Delim('['):
		list := []any{}
		for f.decoder.More() {
			item, err := f.value()
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		value = list
	case json.Delim('{'):
		object := map[string]any{}
		for f.decoder.More() {
			key, err := f.decoder.Token()
			if err != nil {
				return nil, err
			}
			if object[fmt.Sprint(key)], err = f.value(); err != nil {
				return nil, err
			}
		}
		value = object
	default:
		return value, nil
	}
	if _, err := f.decoder.Token(); err != nil { // the closing one
		return nil, err
	}
	if f.found < 0 {
		if canonical, err := json.Marshal(value); err == nil && bytes.Equal(canonical, f.wanted) {
			f.found = begin
		}
	}
	return value, nil
}
