// Package status implements "tokenrefresher status": it shows what is in the token
// files, how old it is, and how long it is valid.
package status

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/refresh"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// An Entry is one registry's file.
type Entry struct {
	Registry string `json:"registry"`
	File     string `json:"file"`
	// Host is empty, and the times are zero, if there is no token.
	Host      string    `json:"host,omitempty"`
	FetchedAt time.Time `json:"fetchedAt,omitzero"`
	// ExpiresAt is also zero for a token that never expires.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// OverdueSince is when the token should have been replaced, if refreshes fail.
	OverdueSince time.Time `json:"overdueSince,omitzero"`
	Usable       bool      `json:"usable"`
	// Problem is why the token is not usable.
	Problem string `json:"problem,omitempty"`
}

// Read reads a registry's file, as authsvc does.
func Read(registry, file string, schedule refresh.Schedule, now time.Time) Entry {
	e := Entry{Registry: registry, File: file}
	t, err := tokenfile.Read(file)
	if err != nil {
		e.Problem = err.Error()
		return e
	}
	e.Host, e.FetchedAt, e.ExpiresAt = t.Host, t.FetchedAt, t.ExpiresAt
	if err := t.Usable(now); err != nil {
		e.Problem = err.Error()
		return e
	}
	e.Usable = true
	// A failure or two before a success are everyday.
	if due := schedule.Next(t, 0); now.Sub(due) > schedule.BackoffMax {
		e.OverdueSince = due
	}
	return e
}

// Unusable names the registries without a usable token.
func Unusable(entries []Entry) (names []string) {
	for _, e := range entries {
		if !e.Usable {
			names = append(names, e.Registry)
		}
	}
	return names
}

// WriteJSON writes the entries as an array of objects.
func WriteJSON(w io.Writer, entries []Entry) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(entries)
}

// WriteTable writes the entries as a table for a person, with ages and
// lifetimes as of now.
func WriteTable(w io.Writer, entries []Entry, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "REGISTRY\tHOST\tFILE\tAGE\tEXPIRES\tSTATE") // Flush returns the error
	for _, e := range entries {
		host, age, expires, state := e.Host, "-", "-", "usable"
		if host == "" {
			host = "-"
		}
		if !e.FetchedAt.IsZero() {
			age = span(now.Sub(e.FetchedAt))
			expires = "never"
		}
		if !e.ExpiresAt.IsZero() {
			expires = e.ExpiresAt.UTC().Format(time.RFC3339)
			if e.Usable {
				expires += " (in " + span(e.ExpiresAt.Sub(now)) + ")"
			}
		}
		switch {
		case !e.Usable:
			state = "UNUSABLE: " + e.Problem
		case !e.OverdueSince.IsZero():
			state = "usable, but its replacement is overdue by " + span(now.Sub(e.OverdueSince))
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Registry, host, e.File, age, expires, state)
	}
	return table.Flush()
}

func span(d time.Duration) string { return d.Round(time.Second).String() }
