package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/journal"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

// A search is what the command log is asked for.
type search struct {
	user, request, since, file string
	json                       bool
}

// newLog makes the command that finds decisions in the log.
func newLog(load program.Loader[config.Config]) *cobra.Command {
	var s search
	cmd := &cobra.Command{
		Use:   "log (--user NAME | --request ID)",
		Short: "Find decisions in the log",
		Long: `Find decisions in the journal of the last 24 hours, or in a file: by the user,
or by the id at the end of the message that the customer read.

A user is found by the account's name, by the name typed with an accepted token,
and by the keyed hash of a name that nobody confirmed. The hash needs the file
cache.key_file of the configuration. Read the journal as root, or as a member of
adm or systemd-journal.

The exit status is 1 if nothing was found.`,
		Example: `  authsvc log --request 5f3a9c01
  authsvc log --user ann@acme.example --since 7d
  authsvc log --user ann@acme.example --json | jq .reason
  zcat old.log.gz | authsvc log --user ann@acme.example --file -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd, load) },
	}
	flags := cmd.Flags()
	flags.StringVar(&s.user, "user", "", "the customer's e-mail or account, as typed or as logged")
	flags.StringVar(&s.request, "request", "", "the request's id, or its first 8 digits")
	flags.StringVar(&s.since, "since", "", "how far back to look, such as 24h or 7d (default 24h; a file is read from its beginning)")
	flags.StringVar(&s.file, "file", "", "file with the log; - for standard input (default: the journal)")
	flags.BoolVar(&s.json, "json", false, "print the lines themselves, as JSON")
	cmd.MarkFlagsOneRequired("user", "request")
	return cmd
}

func (s search) run(cmd *cobra.Command, load program.Loader[config.Config]) (err error) {
	query, err := s.query(time.Now())
	if err != nil {
		return err
	}
	if s.user != "" {
		c, err := load(cmd)
		query.Names = names(s.user, c.CacheKeyFile, err, cmd.ErrOrStderr())
	}
	log, err := s.open(cmd, query.Since)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	table := journal.NewTable(cmd.OutOrStdout())
	n, err := journal.Find(log, query, func(line []byte, d journal.Decision) error {
		if s.json {
			_, err := fmt.Fprintf(jsonWriter{cmd.OutOrStdout()}, "%s\n", line)
			return err
		}
		return table.Add(d)
	})
	if err == nil && n == 0 {
		err = errors.New("no such decision found; look further back with --since, or in an older log with --file")
	}
	return err
}

func (s search) open(cmd *cobra.Command, since time.Time) (io.ReadCloser, error) {
	if s.file != "" {
		return journal.Open(s.file, cmd.InOrStdin())
	}
	return journal.Journal(cmd.Context(), since, cmd.ErrOrStderr())
}

var requestID = regexp.MustCompile(`^[0-9a-f]{8,32}$`)

// query checks what was asked for; but for the user's names.
func (s search) query(now time.Time) (journal.Query, error) {
	q := journal.Query{Request: strings.ToLower(s.request)}
	if s.request != "" && !requestID.MatchString(q.Request) {
		return q, fmt.Errorf("--request: expected 8 to 32 hexadecimal digits such as 5f3a9c01, found %q", s.request)
	}
	if s.since == "" && s.file != "" {
		return q, nil
	}
	if s.since == "" {
		s.since = "24h"
	}
	span, err := parseSpan(s.since)
	if err != nil {
		return q, fmt.Errorf("--since: %w", err)
	}
	q.Since = now.Add(-span)
	return q, nil
}

// parseSpan parses a time.Duration, or whole days such as 7d.
func parseSpan(text string) (time.Duration, error) {
	span, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		span = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || span <= 0 {
		return 0, fmt.Errorf("expected a time span such as 24h or 7d, found %q", text)
	}
	return span, nil
}

// names returns the names under which a user is in the log. If the key of the
// hashes cannot be used, for which loaded may be the reason, it says so.
func names(user, keyFile string, loaded error, notes io.Writer) []string {
	all := []string{server.LogText(user)}
	secret, err := []byte(nil), loaded
	switch {
	case loaded != nil:
	case keyFile == "":
		err = errors.New("cache.key_file is not set, so their key changes at each start")
	default:
		secret, err = readKey(keyFile)
	}
	if err != nil {
		_, _ = fmt.Fprintf(notes, "note: refused logins may be missing: they have a keyed hash of the user, and it cannot be computed: %v\n", err)
		return all
	}
	key := credential.NewKey(secret)
	for _, typed := range []string{user, strings.ToLower(user)} {
		all = append(all, decision.Unknown(key, typed))
	}
	return all
}
