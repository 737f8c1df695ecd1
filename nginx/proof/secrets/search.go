package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/nginx/proof/marks"
)

// look searches what is there only while the programs run: metrics, health, process
// list and environments.
func (r *rig) look(ctx context.Context, phase string) error {
	for name, url := range map[string]string{"authsvc": r.stack.AuthsvcURL(), "tokenrefresher": r.stack.TokenrefresherURL()} {
		for path, kind := range map[string]string{"/metrics": "metrics", "/readyz": "health", "/healthz": "health"} {
			if err := r.fetch(ctx, kind, name+path+" after "+phase, url+path); err != nil {
				return err
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.search.Processes()
}

// files searches all that the stack has written, and what anybody has left in the
// machine's temporary folders since the start.
func (r *rig) files(search *marks.Searcher) error {
	var errs []error
	programs := func(path string) bool { return path == filepath.Join(r.stack.Dir, "bin") }
	for _, dir := range []string{r.stack.Dir, r.work} {
		errs = append(errs, search.Tree(dir, time.Time{}, programs, r.kind))
	}
	// Those of this run, which have just been searched, of other runs, and of Go's
	// compiler.
	skip := func(path string) bool {
		name := filepath.Base(path)
		return strings.HasPrefix(name, "pullgate-") && !strings.HasSuffix(name, planted) || strings.HasPrefix(name, "go-build")
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		errs = append(errs, search.Tree(dir, r.began, skip, r.kind))
	}
	return errors.Join(errs...)
}

// kind is what a file is, for the report and for allowed.go.
func (r *rig) kind(path string) string {
	name, dir := filepath.Base(path), filepath.Dir(path)
	switch {
	case strings.HasPrefix(name, "core"):
		return "core dump"
	case strings.HasSuffix(name, ".log"):
		return "log"
	case filepath.Base(dir) == "token", strings.HasPrefix(name, "other.json"):
		return "token file"
	case slices.Contains([]string{"customers", "key", "releases"}, name):
		return "state file"
	case strings.Contains(path, "/nginx/tmp/"), dir == "/tmp", dir == "/var/tmp", dir == "/dev/shm":
		return "temporary file"
	}
	return "file"
}

// verdict searches the files, writes the report, and fails on a leak, or if a code
// that customers can meet was never provoked.
func (r *rig) verdict(out io.Writer) error {
	r.learn()
	if err := r.files(r.search); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d secrets\n", r.set.Len())
	if err := r.search.Report(out, allowed); err != nil {
		return err
	}
	for _, code := range registry.Codes() {
		if r.codes[string(code)] == 0 {
			return fmt.Errorf("expected an answer with the code %s, found none: the run did not drive every refusal", code)
		}
	}
	if n := len(r.search.Leaks(allowed)); n > 0 {
		return fmt.Errorf("%d leaks; SEED=%d repeats them", n, r.seed)
	}
	return nil
}
