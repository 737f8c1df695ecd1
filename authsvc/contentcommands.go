package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullgate/pullgate/authsvc/content/control"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// A contentSocket finds the control socket of the running store.
type contentSocket func(*cobra.Command) (control.Client, error)

// contentStatus is the command content status.
func contentStatus(socket contentSocket) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the store has, and what it is fetching",
		Long: `Ask the running store how full it is, when its least recently used file was last
used, and what it is fetching, for how many clients.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := socket(cmd)
			if err != nil {
				return err
			}
			status, err := client.Status(cmd.Context())
			switch {
			case err != nil:
				return err
			case asJSON:
				return json.NewEncoder(cmd.OutOrStdout()).Encode(status)
			}
			return printContentStatus(cmd.OutOrStdout(), status, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: {store, fetches}")
	return cmd
}

func printContentStatus(out io.Writer, s control.Status, now time.Time) error {
	size := settings.FormatSize
	_, err := fmt.Fprintf(out, "files     %d, %s of %s, %s reserved\nfree      %s, %s of it stays free\n",
		s.Store.Files, size(s.Store.Bytes), size(s.Store.MaxBytes), size(s.Store.Reserved), size(s.Store.Free), size(s.Store.MinFree))
	if !s.Store.Oldest.IsZero() {
		_, failed := fmt.Fprintf(out, "oldest    last used %s ago\n", now.Sub(s.Store.Oldest).Round(time.Minute))
		err = errors.Join(err, failed)
	}
	for _, f := range s.Fetches {
		known := "?"
		if f.Size > 0 {
			known = size(f.Size)
		}
		_, failed := fmt.Fprintf(out, "fetching  %s: %s of %s in %.0f s, for %d clients\n", printable(f.Path), size(f.Written), known, f.Seconds, f.Readers)
		err = errors.Join(err, failed)
	}
	return err
}

// contentVerify is the command content verify.
func contentVerify(socket contentSocket) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Read all files now, and remove those that are wrong",
		Long: `Have the running store read all files at full speed and compare each with its
digest. A file that is wrong is removed at once, and will be fetched again when a
client asks for it. If there are any, look at the disk's health.

Exit status: 0 all files are right, 3 some were wrong, 1 anything else.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := socket(cmd)
			if err != nil {
				return err
			}
			wrong := 0
			files, err := client.Verify(cmd.Context(), func(object string) {
				wrong++
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), "wrong, removed:", printable(object)) // there is nobody else to tell
			})
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%d files read, %d wrong\n", files, wrong); err != nil {
				return err
			}
			if wrong > 0 {
				return program.Status{Code: statusRefused}
			}
			return nil
		},
	}
}

// contentDrop is the command content drop.
func contentDrop(socket contentSocket) *cobra.Command {
	return &cobra.Command{
		Use:   "drop DIGEST…",
		Short: "Remove objects from the store",
		Long: `Remove the blobs and manifests with these digests from the running store. nginx
does not find them from then on. If a client may still pull them, they will be
fetched again.

Exit status: 0 all were there, 3 some were not, 1 anything else.`,
		Example: `  authsvc content drop sha256:0123…`,
		Args:    usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, digests []string) error {
			client, err := socket(cmd)
			if err != nil {
				return err
			}
			missing := false
			for _, digest := range digests {
				objects, err := client.Drop(cmd.Context(), digest)
				if err != nil {
					return err
				}
				if len(objects) == 0 {
					missing = true
					objects = []string{"not there: " + digest}
				}
				for _, object := range objects {
					if _, err := fmt.Fprintln(cmd.OutOrStdout(), printable(object)); err != nil {
						return err
					}
				}
			}
			if missing {
				return program.Status{Code: statusRefused}
			}
			return nil
		},
	}
}
