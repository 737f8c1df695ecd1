// Package program is the frame of both programs: running until a signal, the flag
// --config, the commands check-config, version, and man, and the process's metrics.
package program

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Set by the linker (the Makefile's LDFLAGS): git's description of the commit,
// the commit, and its date (RFC 3339). Without them it is a developer's build.
var (
	version = "development"
	commit  = ""
	date    = ""
)

// Version is git's description of the commit, such as v1.2.0 or v1.2.0-4-gabc.
func Version() string { return version }

// Describe is the build in a line: name, version, commit, date, Go.
func Describe(name string) string {
	parts := []string{name, version}
	if commit != "" {
		parts = append(parts, "commit "+commit)
	}
	if date != "" {
		parts = append(parts, "of "+date)
	}
	return strings.Join(append(parts, "built with "+runtime.Version()), ", ")
}

// Commands are common to both programs: version, and man for package builds. The
// manual has others as well, in place of the program's commands of their names.
func Commands(others ...*cobra.Command) []*cobra.Command {
	return []*cobra.Command{
		{
			Use:   "version",
			Short: "Print version, commit, date, and Go version",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), Describe(cmd.Root().Name()))
				return err
			},
		},
		{
			Use:    "man DIR",
			Short:  "Write the manual pages into a folder",
			Hidden: true,
			Args:   cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				for _, root := range append([]*cobra.Command{cmd.Root()}, others...) {
					if err := manual(root, args[0]); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}

// manual writes a page of section 8 for each command. Its date is the
// commit's, so that the same commit gives the same page.
func manual(root *cobra.Command, dir string) error {
	header := &doc.GenManHeader{Section: "8", Source: root.Name() + " " + version, Manual: "System administration"}
	if date != "" {
		day, err := time.Parse(time.RFC3339, date)
		if err != nil {
			return fmt.Errorf("the build date: %w", err)
		}
		header.Date = &day
	}
	root.DisableAutoGenTag = true
	if err := doc.GenManTree(root, header, dir); err != nil {
		return fmt.Errorf("writing the manual to %s: %w", dir, err)
	}
	return nil
}
