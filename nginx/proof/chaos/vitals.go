package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pullgate/pullgate/nginx/proof/marks"
	"github.com/pullgate/pullgate/nginx/stack"
)

// A state is what a process uses.
type state struct {
	goroutines, descriptors int
	memory                  int // bytes
}

// Growth from after the warm-up to after the end that is no leak. Idle connections
// and requests that happen to be in flight cost goroutines and descriptors. Memory:
// Go collects an idle heap every two minutes, and authsvc remembers customers (8 KB
// each, cache.max_entries), and guessers' addresses (2 KB each).
var growth = state{goroutines: 40, descriptors: 40, memory: 96 << 20}

// vitals measures all processes.
func vitals(ctx context.Context, r *rig) (map[string]state, error) {
	all := map[string]state{}
	for name, url := range map[string]string{"authsvc": r.stack.AuthsvcURL(), "tokenrefresher": r.stack.TokenrefresherURL()} {
		figures, err := metrics(ctx, url)
		if err != nil {
			return nil, err
		}
		all[name] = state{int(figures["go_goroutines"]), int(figures["process_open_fds"]), int(figures["process_resident_memory_bytes"])}
	}
	pids, err := r.workers()
	if err != nil {
		return nil, err
	}
	var nginx state
	for _, pid := range append(pids, r.stack.Process("nginx").PID()) {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return nil, err
		}
		fields := strings.Fields(string(text)) // proc(5): the second are resident pages
		if len(fields) < 2 {
			return nil, fmt.Errorf("unexpected /proc/%d/statm: %s", pid, text)
		}
		pages, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		nginx.descriptors += len(files)
		nginx.memory += pages * os.Getpagesize()
	}
	all["nginx"] = nginx
	return all, nil
}

// grown says what a process uses beyond what it used before and what growth allows.
func grown(before, after map[string]state) error {
	var errs []error
	for name, was := range before {
		is := after[name]
		for _, figure := range []struct {
			what          string
			was, is, more int
		}{
			{"goroutines", was.goroutines, is.goroutines, growth.goroutines},
			{"descriptors", was.descriptors, is.descriptors, growth.descriptors},
			{"MB of memory", was.memory >> 20, is.memory >> 20, growth.memory >> 20},
		} {
			if figure.is > figure.was+figure.more {
				errs = append(errs, fmt.Errorf("%s: %d %s after the warm-up, %d at the end; expected at most %d more", name, figure.was, figure.what, figure.is, figure.more))
			}
		}
	}
	return errors.Join(errs...)
}

// metrics returns a program's metrics without labels, by name.
func metrics(ctx context.Context, url string) (map[string]float64, error) {
	text, err := get(ctx, url+"/metrics")
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if number, err := strconv.ParseFloat(value, 64); ok && err == nil {
			all[name] = number
		}
	}
	return all, nil
}

// get returns what a URL answers, whatever its status.
func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	var text strings.Builder
	_, err = bufio.NewReader(response.Body).WriteTo(&text)
	return text.String(), err
}

// answersAt returns nil if something answers at a URL.
func answersAt(ctx context.Context, url string) error {
	_, err := get(ctx, url)
	return err
}

// noteTokens remembers the registries' tokens, to search for them.
func (t *trial) noteTokens() {
	for region := range t.rig.stack.Upstreams {
		text, err := os.ReadFile(t.rig.tokenFile(region))
		if err != nil {
			continue
		}
		var file struct{ Token string }
		if json.Unmarshal(text, &file) == nil && len(file.Token) > 100 {
			t.tokens[file.Token[20:80]] = true
		}
	}
}

// secretsIn searches the logs, the metrics, and the readiness of all programs for the
// customers' secrets and the registry's tokens. It returns a line for each finding.
func secretsIn(ctx context.Context, s *stack.Stack, tokens map[string]bool) (found []string, err error) {
	secrets := marks.NewSet(0) // they were made elsewhere
	secrets.Add("what is in every customer's secret", mark)
	for token := range tokens {
		secrets.Add("a token of the registry", token)
	}
	search := secrets.Searcher()
	logs := func(string) string { return "log" }
	if err := search.Tree(filepath.Join(s.Dir, "log"), time.Time{}, nil, logs); err != nil {
		return nil, err
	}
	for _, url := range []string{s.AuthsvcURL(), s.TokenrefresherURL()} {
		for _, path := range []string{"/metrics", "/readyz"} {
			text, err := get(ctx, url+path)
			if err != nil {
				return nil, err
			}
			search.Text("answer", url+path, text)
		}
	}
	for _, f := range search.Findings() {
		found = append(found, f.String())
	}
	return found, nil
}
