// Package status implements "tokenrefresher status": it shows what is in the token
// files, how old it is, and how long it is valid.
package status

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

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
	Usable    bool      `json:"usable"`
	// Problem is why the token is not usable.
	Problem string `json:"problem,omitempty"`
}

// Read reads a registry's file, as authsvc does.
func Read(registry, file string, now time.Time) Entry {
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
	return e
}

// Unusable counts the entries without a usable token.
func Unusable(entries []Entry) (n int) {
	for _, e := range entries {
		if !e.Usable {
			n++
		}
	}
	return n
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
	_, _ = fmt.Fprintln(table, "REGISTRY\tFILE\tAGE\tEXPIRES\tSTATE") // Flush returns the error
	for _, e := range entries {
		age, expires, state := "-", "-", "usable"
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
		if !e.Usable {
			state = "UNUSABLE: " + e.Problem
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", e.Registry, e.File, age, expires, state)
	}
	return table.Flush()
}

func span(d time.Duration) string { return d.Round(time.Second).String() }
