// Command bench measures the cost of authorization, as ratios within one run, and
// writes every figure to bench-results.json:
//
//	requests_ratio_bare  requests per second, nginx + authsvc to bare nginx;
//	                     this and the next two: median of the rounds
//	requests_ratio_lua   the same, to the Lua design that authsvc replaces
//	cpu_ratio_bare       CPU seconds per request, nginx + authsvc to bare nginx
//	route_ratio          requests per second, authsvc with 200 prefixes of
//	                     repositories to one: median of more, shorter rounds
//	decision_ns          one decision of authsvc with a cached credential, in ns
//	decision_allocs      allocations of that decision
//
// and the cost of exact rights:
//
//	digest_decision_ratio  a decision by a layer's digest to one by a tag
//	digests_1m_mb          memory of 1,000,000 known digests, in MB
//	learn_seconds          200 tags of 3 platforms of 10 layers, learned from a
//	                       registry that takes 20 ms per answer
//	list_5000_tags_ms      listing 5,000 known tags, in ms
//
// and of guessing, the worse of 1 and of 1,000 addresses:
//
//	guess_vendor_calls_per_guess  calls to the vendor's API for each guess
//	guess_good_p99_ratio          known customers' p99, attacked to quiet
//	guess_good_p99_ms             the same, attacked, in ms
//	guess_good_refused            requests of known customers that were refused
//	guess_new_good_refused        customers who could not log in for the first
//	                              time: at once while one address guesses, within
//	                              2 s while 1,000 do
//	names_evicted                 known customers asked about again after one
//	                              token came under 20,000 names
//	outage_stale_p99_ratio        known customers' p99, the vendor's API hanging to
//	                              healthy
//
// and of files of the content store, for what somebody has pulled before:
//
//	warm_manifest_ratio_bare         requests per second of a manifest by tag, to bare
//	                                 nginx proxying the registry: medians of nine rounds
//	warm_manifest_cached_ratio_bare  the same, with decisions cached in nginx
//	microcache_ratio_bare            the same, proxying, with decisions cached in nginx
//	warm_blob_ratio_sendfile         bytes per second of blobs of 1, 32, and 512 MB, to
//	                                 the same files without authorization: the least
//	warm_blob_cpu_ratio              CPU seconds of them at 32 MB
//
// and of sources:
//
//	source_sql_ratio       look-ups per second in PostgreSQL, with tokens, to the
//	                       same statements by the same driver and pool alone
//	source_hash_p99_ratio  known customers' p99, while others' passwords are hashed
//	                       all the time, to quiet
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

const resultsFile = "bench-results.json"

// figures are measurements by name.
type figures map[string]float64

// parts are the benchmarks that can run alone, by name.
var parts = map[string]func(context.Context, io.Writer) (figures, error){
	"files":    measureFiles,
	"guessing": measureGuessing,
	"requests": measureRequests,
	"rights":   measureRights,
	"sources":  measureSources,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

func run(ctx context.Context, names []string, stdout io.Writer) error {
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(parts))
	}
	all := figures{}
	for _, name := range names {
		measure, ok := parts[name]
		if !ok {
			return fmt.Errorf("unknown part %q; expected one of: %s", name, strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
		}
		measured, err := measure(ctx, stdout)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		maps.Copy(all, measured)
	}
	if err := show(stdout, all); err != nil {
		return err
	}
	return save(all)
}

func show(stdout io.Writer, all figures) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nFIGURE\tVALUE")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(w, "%s\t%.4g\n", name, all[name])
	}
	return w.Flush()
}

// save writes the figures, and keeps those of parts that did not run.
func save(measured figures) error {
	all := figures{}
	switch old, err := os.ReadFile(resultsFile); {
	case err == nil:
		if err := json.Unmarshal(old, &all); err != nil {
			return fmt.Errorf("%s has no figures: %w; remove it", resultsFile, err)
		}
	case !os.IsNotExist(err):
		return err
	}
	maps.Copy(all, measured)
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(resultsFile, append(text, '\n'), 0o644)
}
