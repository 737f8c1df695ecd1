// Command uri tries to get something through nginx and authsvc that no license
// covers. It starts the real system (package nginx/stack), and sends it requests out
// of a grammar of tricks: encodings, dot segments, odd bytes, other forms of target,
// look-alikes, over-long ones; bodies, and framing that contradicts itself; pipelined,
// duplicate, folded, and forged headers; HTTP/0.9, 1.0, 1.1, and 2 with raw pseudo-
// headers; over kept connections, many at a time.
//
// What must hold, for each request (oracle.go, check.go):
//
//   - authsvc is asked only about targets that the client sent, byte for byte;
//   - authsvc allows only what the license covers;
//   - the registry receives only what authsvc has allowed: the same method and target,
//     once, without a body and without headers of the contract;
//   - nothing of the forbidden images comes back, and no token or credential;
//   - every refusal is the registry's JSON.
//
// Every run begins with the corpus (testdata): each trick by hand, and whatever was
// ever found. A new finding is made shorter and added to it. A seed repeats a run:
// exchange N of a seed is always the same, only the interleaving of connections is not.
//
//	go run ./nginx/proof/uri -for 10m
//	go run ./nginx/proof/uri -for 1m -seed 7 -nginx .build/nginx/trixie/nginx
//	go run ./nginx/proof/uri -for 1m -plant forward-decoded
//
// Exit status: 0 if nothing was found, 1 if something was, 2 for a run that failed or
// proves nothing.
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
	"strings"
	"syscall"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings of a run.
type settings struct {
	duration, progress time.Duration
	seed               uint64
	nginx, corpus      string
	server             string
	plant              plant
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("uri", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.DurationVar(&s.duration, "for", time.Minute, "how long to fuzz after the corpus; 0 for the corpus alone")
	flags.Uint64Var(&s.seed, "seed", 0, "repeat the run with this seed; 0 for a random one")
	flags.StringVar(&s.nginx, "nginx", "", "path of the nginx to test; the machine's if empty")
	flags.StringVar(&s.server, "server", "", "more lines of nginx's server block, such as \"merge_slashes off;\"")
	flags.StringVar(&s.corpus, "corpus", "nginx/proof/uri/testdata", "folder of the corpus, which gets new findings")
	flags.DurationVar(&s.progress, "progress", 10*time.Second, "how often to print a line")
	var all []string
	for _, p := range plants() {
		all = append(all, fmt.Sprintf("%s (%s)", p.name, p.about))
	}
	name := flags.String("plant", "", "make a hole to see that it is found; nothing is added to the corpus then. One of:\n"+strings.Join(all, "\n"))
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	}
	for _, p := range plants() {
		if p.name == *name {
			s.plant = p
		}
	}
	if s.plant.name != *name {
		return s, fmt.Errorf("-plant %s: no such hole; see -help", *name)
	}
	for s.seed == 0 {
		s.seed = rand.Uint64N(1e9)
	}
	return s, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	found := false
	if err == nil {
		found, err = prove(ctx, s, stdout)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "uri:", err)
		return 2
	case found:
		return 1
	}
	return 0
}

// prove runs the corpus and then the fuzzer, and reports whether something was found.
func prove(ctx context.Context, s settings, stdout io.Writer) (found bool, err error) {
	f, err := start(ctx, s, stdout)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.stack.Close()) }()
	corpus, err := readCorpus(s.corpus, f.world.replacer(false))
	if err != nil {
		return false, err
	}
	version, err := stack.NginxVersion(f.stack.NginxPath())
	if err != nil {
		return false, err
	}
	fmt.Fprintf(stdout, "nginx %d.%d.%d, seed %d: the corpus of %d exchanges, then %v of new ones\n", version[0], version[1], version[2], s.seed, len(corpus), s.duration)
	for _, x := range corpus {
		wrong, err := f.try(ctx, x)
		if err != nil {
			return false, err
		}
		if wrong != nil {
			found = true
			fmt.Fprintf(stdout, "\nFOUND by the corpus: %v\n%s", wrong, x.format(f.world.replacer(true)))
		}
	}
	if found {
		return true, nil
	}
	t := &tally{began: time.Now(), statuses: map[int]int64{}}
	forwarded := f.forwarded.Load()
	f.renamed.Store(0)
	f.stoodIn.Store(0)
	f.faked.Store(0)
	fuzzing, cancel := context.WithTimeout(ctx, s.duration)
	defer cancel()
	go f.show(fuzzing, s, t, forwarded, stdout)
	go f.watch(fuzzing)
	if err := f.fuzz(fuzzing, s.seed, t); err != nil {
		return false, err
	}
	f.summary(stdout, s, t, forwarded)
	if all := f.take(); len(all) > 0 {
		return true, f.explain(ctx, s, all, stdout)
	}
	if s.duration > 0 && ctx.Err() == nil && (f.forwarded.Load() == forwarded || t.http2.Load() == 0 || f.renamed.Load() == 0 || f.stoodIn.Load() == 0 || f.faked.Load() == 0) {
		return false, errors.New("expected some requests to reach the registries under other names, their stand-by, and by false answers of authsvc, and some answers over HTTP/2; found none of one of these: this run proves nothing")
	}
	return false, ctx.Err()
}

// show prints a line of progress.
func (f *front) show(ctx context.Context, s settings, t *tally, forwarded int64, stdout io.Writer) {
	ticker := time.NewTicker(s.progress)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			n, statuses := t.requests()
			fmt.Fprintf(stdout, "%4.0fs %d requests, %.0f/s, %d at the registries, seed %d;%s\n",
				time.Since(t.began).Seconds(), n, t.rate(), f.forwarded.Load()-forwarded, s.seed, statuses)
		}
	}
}

func (f *front) summary(stdout io.Writer, s settings, t *tally, forwarded int64) {
	n, statuses := t.requests()
	fmt.Fprintf(stdout, "%d requests in %.0f s, %.0f/s, over %d connections, %d over HTTP/2; authsvc was asked %d times, the registries %d times (%d with another path than the client's, %d by a stand-by, %d by false answers of authsvc); %d exchanges, %d given up\nanswers by status:%s\nto repeat: -seed %d\n",
		n, time.Since(t.began).Seconds(), t.rate(), t.connections.Load(), t.http2.Load(), f.asked.Load(), f.forwarded.Load()-forwarded, f.renamed.Load(), f.stoodIn.Load(), f.faked.Load(), t.exchanges.Load(), t.givenUp.Load(), statuses, s.seed)
}
