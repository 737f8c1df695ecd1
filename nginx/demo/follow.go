package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// decision holds the fields of a line of authsvc's log that are shown.
type decision struct {
	Time       time.Time `json:"time"`
	Msg        string    `json:"msg"`
	Subject    string    `json:"subject"`
	License    string    `json:"license"`
	Kind       string    `json:"kind"`
	Repository string    `json:"repository"`
	Reference  string    `json:"reference"`
	Decision   string    `json:"decision"`
	Cache      string    `json:"cache"`
	Reason     string    `json:"reason"`
	Duration   float64   `json:"duration_ms"`
}

// String returns the decision as one line.
func (d decision) String() string {
	what := strings.TrimSpace(d.Kind + " " + d.Repository)
	switch {
	case strings.Contains(d.Reference, ":"):
		what += "@" + d.Reference[:min(len(d.Reference), len("sha256:")+12)]
	case d.Reference != "":
		what += ":" + d.Reference
	}
	text := fmt.Sprintf("%s %-18s %-20s %s", d.Time.Local().Format(time.TimeOnly), d.Decision, d.Subject, what)
	if d.License != "" {
		text += ", " + d.License
	}
	if d.Cache != "" {
		text += ", cache " + d.Cache
	}
	text += ", " + time.Duration(d.Duration*float64(time.Millisecond)).String()
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	return text
}

// follow shows new decisions until ctx ends or a part of the stack dies.
func (d *demo) follow(ctx context.Context) error {
	log, err := os.Open(d.stack.LogFile("authsvc"))
	if err != nil {
		return fmt.Errorf("following authsvc's log: %w", err)
	}
	defer log.Close() //nolint:errcheck // only read
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("following authsvc's log: %w", err)
	}
	var pending []byte
	for {
		more, err := io.ReadAll(log)
		if err != nil {
			return fmt.Errorf("following authsvc's log: %w", err)
		}
		pending = d.show(append(pending, more...))
		select {
		case <-ctx.Done():
			d.out.title("stopping and cleaning up")
			return nil
		case <-d.stack.Process("nginx").Exited():
			return fmt.Errorf("nginx exited; the end of its log:\n%s", d.stack.Log("nginx"))
		case <-d.stack.Process("authsvc").Exited():
			return fmt.Errorf("authsvc exited; the end of its log:\n%s", d.stack.Log("authsvc"))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// show prints the decisions in all complete lines, and returns the rest.
func (d *demo) show(text []byte) (rest []byte) {
	for {
		line, after, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			return text
		}
		text = after
		var one decision
		if json.Unmarshal(line, &one) == nil && one.Msg == "decision" {
			d.out.line("%s", one)
		}
	}
}
