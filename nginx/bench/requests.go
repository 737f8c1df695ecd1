package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"text/tabwriter"
)

const (
	rounds      = 5
	seconds     = 2 // of one measurement
	connections = 32
)

// A way is one of the compared setups.
type way struct {
	name string
	port int
	// processes are those that do the work, without the registry and the vendor's
	// API.
	processes []*process

	// Per round: requests per second, and CPU seconds per 1,000 requests.
	requests, cpuSeconds []float64
}

// measureRequests loads the three setups in turn, several times, so that other load
// on the machine affects all of them.
func measureRequests(ctx context.Context, stdout io.Writer) (figures, error) {
	fmt.Fprintf(stdout, "requests: %d rounds of %d s for each of three setups, with %d connections\n", rounds, seconds, connections)
	r, err := newRig(ctx)
	if err != nil {
		return nil, err
	}
	defer r.close()

	ways := []*way{
		{name: "bare nginx", port: r.Bare, processes: []*process{r.nginx}},
		{name: "nginx + authsvc", port: r.Authsvc, processes: []*process{r.nginx, r.authsvc}},
		{name: "nginx Lua", port: r.Lua, processes: []*process{r.nginx}},
	}
	for range rounds {
		for _, w := range ways {
			if err := w.measure(ctx, r.script(), seconds); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", w.name, err, r.logs())
			}
		}
	}
	if err := showWays(stdout, ways); err != nil {
		return nil, err
	}
	routes, err := r.measureRoutes(ctx, stdout)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, r.logs())
	}
	bare, authsvc, lua := ways[0], ways[1], ways[2]
	decision, err := benchmarkDecision(ctx)
	if err != nil {
		return nil, err
	}
	return figures{
		"requests_ratio_bare": ratio(authsvc.requests, bare.requests),
		"requests_ratio_lua":  ratio(authsvc.requests, lua.requests),
		"cpu_ratio_bare":      ratio(authsvc.cpuSeconds, bare.cpuSeconds),
		"route_ratio":         routes,
		"decision_ns":         decision.nanoseconds,
		"decision_allocs":     decision.allocations,
	}, nil
}

func showWays(stdout io.Writer, ways []*way) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nSETUP\tREQUESTS/S\tCPU s / 1,000 REQUESTS")
	for _, way := range ways {
		fmt.Fprintf(w, "%s\t%.0f\t%.4f\n", way.name, median(way.requests), median(way.cpuSeconds))
	}
	return w.Flush()
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkRate     = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkErrors   = regexp.MustCompile(`(?m)^\s*(Non-2xx.*|Socket errors.*)$`)
)

// measure runs wrk once with script, for a time. Any answer other than 2xx is an error.
func (w *way) measure(ctx context.Context, script string, seconds int) error {
	before, err := cpuSeconds(w.processes)
	if err != nil {
		return err
	}
	out, err := wrk(ctx, script, fmt.Sprintf("http://127.0.0.1:%d/v2/acme/appliance/manifests/1.4", w.port), connections, seconds)
	if err != nil {
		return err
	}
	after, err := cpuSeconds(w.processes)
	if err != nil {
		return err
	}
	rate, err := number(wrkRate, out)
	if err != nil {
		return err
	}
	count, err := number(wrkRequests, out)
	if err != nil {
		return err
	}
	w.requests = append(w.requests, rate)
	w.cpuSeconds = append(w.cpuSeconds, (after-before)/count*1000)
	return nil
}

// wrk loads a URL for a time, and returns wrk's report. Any answer other than 2xx is an
// error.
func wrk(ctx context.Context, script, url string, connections, seconds int) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", seconds), "--timeout", "1m", "-s", script, url).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if errors := wrkErrors.Find(out); errors != nil {
		return nil, fmt.Errorf("wrk: %s", errors)
	}
	return out, nil
}

// ratio is the median of the rounds' ratios: consecutive measurements see the same
// disturbance.
func ratio(of, to []float64) float64 {
	var ratios []float64
	for i := range of {
		ratios = append(ratios, of[i]/to[i])
	}
	return median(ratios)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func number(pattern *regexp.Regexp, text []byte) (float64, error) {
	match := pattern.FindSubmatch(text)
	if match == nil {
		return 0, fmt.Errorf("expected %s, found:\n%s", pattern, text)
	}
	return strconv.ParseFloat(string(match[1]), 64)
}

func (r *rig) authorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("ann@example.com:"+r.Secret))
}

type decisionCost struct{ nanoseconds, allocations float64 }

var benchmarkLine = regexp.MustCompile(`BenchmarkDecision\S*\s+\d+\s+([\d.]+) ns/op\s+\d+ B/op\s+(\d+) allocs/op`)

// benchmarkDecision runs the Go benchmark of a decision.
func benchmarkDecision(ctx context.Context) (decisionCost, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkDecision$", "-benchmem", "./authsvc/server").CombinedOutput()
	if err != nil {
		return decisionCost{}, fmt.Errorf("go test -bench: %w: %s", err, out)
	}
	match := benchmarkLine.FindSubmatch(out)
	if match == nil {
		return decisionCost{}, fmt.Errorf("expected a line for BenchmarkDecision, found:\n%s", out)
	}
	ns, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		return decisionCost{}, err
	}
	allocs, err := strconv.ParseFloat(string(match[2]), 64)
	return decisionCost{nanoseconds: ns, allocations: allocs}, err
}
