// Command chaos breaks the whole system, all the time, while 20 real clients pull
// from it, and fails if any pull is lost that excuses.md does not excuse, or if
// anything is served that should have been refused.
//
//	make chaos CHAOS=15m SEED=1   # a seed repeats a schedule of faults
//	make chaos-short              # each fault once, about two minutes
//
// At the end, no process may have grown, and no log may have a secret.
//
// The tables to read first: faults.go has what breaks, people.go who pulls and what
// they must get, and excuses.md what may be lost.
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
	"slices"
	"strings"
	"syscall"
	"time"
)

// options of a run.
type options struct {
	during time.Duration
	seed   uint64
	short  bool
	plant  string
	list   bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	opts, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, opts, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.DurationVar(&o.during, "for", 15*time.Minute, "how long faults are made, such as 15m")
	flags.Uint64Var(&o.seed, "seed", 0, "seed of the schedule of faults; 0 for a random one, which is printed")
	flags.BoolVar(&o.short, "short", false, "each fault once, in about two minutes")
	flags.BoolVar(&o.list, "list", false, "print the schedule, and exit")
	flags.StringVar(&o.plant, "plant", "", "prove that a run can fail: "+strings.Join(plants, ", "))
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.plant != "" && !slices.Contains(plants, o.plant) {
		return o, fmt.Errorf("unknown -plant %q; expected one of: %s", o.plant, strings.Join(plants, ", "))
	}
	if flags.NArg() > 0 || o.during <= 0 {
		return o, errors.New("expected no arguments, and a time above 0; see --help")
	}
	if o.seed == 0 {
		o.seed = 1 + rand.Uint64N(1<<32)
	}
	return o, nil
}

func (o options) steps() []step {
	if o.short {
		return shortSchedule(o.seed)
	}
	return schedule(o.seed, o.during)
}

func run(ctx context.Context, o options, stdout io.Writer) (err error) {
	excuses, err := parseExcuses(excusesTable, faultNames())
	if err != nil {
		return err
	}
	steps := o.steps()
	fmt.Fprintf(stdout, "seed %d: %d steps\n", o.seed, len(steps))
	if o.list {
		for _, s := range steps {
			fmt.Fprintf(stdout, "quiet %5.1f s, then %4.1f s: %s\n", s.quiet.Seconds(), s.lasts.Seconds(), s)
		}
		return nil
	}
	r, err := startRig(ctx, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	t := &trial{rig: r, ledger: newLedger(planted(o.plant, excuses), stdout), out: stdout}
	if err := t.plant(o.plant); err != nil {
		return err
	}
	return t.run(ctx, steps)
}
