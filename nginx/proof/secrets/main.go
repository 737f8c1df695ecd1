// Command secrets tries to make the system show a secret. It starts the whole stack
// at debug level, with marked credentials and tokens, drives every kind of success,
// refusal, outage, and crash, and then searches everything that was written, sent,
// or shown for the marks, in every encoding:
//
//	make secrets [SEED=N]
//
// First it plants all secrets in all encodings in every kind of place, and fails if
// its own search misses one. allowed.go has the places that may contain a secret.
// It exits with 1 and says which secret is where, never the secret itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if os.Getenv(crashEnv) != "" {
		crash()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "secrets:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("secrets", flag.ContinueOnError)
	seed := flags.Uint64("seed", rand.Uint64N(1_000_000), "repeats a run: the same secrets and the same order")
	short := flags.Bool("short", false, "without Docker, and with fewer faults and crashes")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; the options are -seed and -short", flags.Arg(0))
	}
	began := time.Now()
	fmt.Fprintf(out, "make secrets SEED=%d repeats this run\n", *seed)
	r, err := newRig(ctx, *seed, *short, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for _, phase := range phases {
		start := time.Now()
		if err := phase.run(r, ctx); err != nil {
			return fmt.Errorf("%s: %w%s", phase.name, err, r.logs())
		}
		if err := r.look(ctx, phase.name); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
		fmt.Fprintf(out, "%6.1fs  %-10s %s\n", time.Since(start).Seconds(), phase.name, r.saw())
	}
	if err := r.verdict(out); err != nil {
		return err
	}
	fmt.Fprintf(out, "no secret found, in %s\n", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// phases run in this order; each starts and ends with a whole stack.
var phases = []struct {
	name string
	run  func(*rig, context.Context) error
}{
	{"plants", (*rig).plants},
	{"successes", (*rig).successes},
	{"refusals", (*rig).refusals},
	{"outages", (*rig).outages},
	{"crashes", (*rig).crashes},
	{"commands", (*rig).commands},
	{"docker", (*rig).docker},
}
