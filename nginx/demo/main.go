// Command demo runs the whole system on this machine: a vendor's customers log in
// with docker and pull what they have licensed, through a real nginx, from a
// registry that accepts only an ECR token.
//
//	go run ./nginx/demo          keeps running until Ctrl-C, so you can try it
//	go run ./nginx/demo -once    exits after the scenes, non-zero on failure
//	go run ./nginx/demo -source sql    with the customers in PostgreSQL
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pullgate/pullgate/nginx/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	once := flags.Bool("once", false, "exit after the scenes, non-zero on failure")
	source := flags.String("source", "kloudless", "where the customers are: "+strings.Join(stack.SourceKinds(), ", "))
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; the options are -once and -source", flags.Arg(0))
	}
	if !slices.Contains(stack.SourceKinds(), *source) {
		return fmt.Errorf("-source: expected %s, found %q", strings.Join(stack.SourceKinds(), ", "), *source)
	}
	begin := time.Now()
	d := &demo{out: &lines{w: out}, source: *source}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.start(ctx); err != nil {
		return d.interrupted(ctx, err, *once)
	}
	if err := d.play(ctx); err != nil {
		return d.interrupted(ctx, err, *once)
	}
	d.out.title("everything worked, in %s", time.Since(begin).Round(100*time.Millisecond))
	if *once {
		return nil
	}
	d.explain()
	return d.follow(ctx)
}

// demo is the stack, an engine, and the people.
type demo struct {
	out    *lines
	source string
	stack  *stack.Stack
	engine *stack.Engine
}

// start starts the stack and the engine in parallel, then adds images and accounts.
func (d *demo) start(ctx context.Context) error {
	d.out.title("starting the system on 127.0.0.1")
	progress := d.out.progress()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		d.stack, err = stack.Start(gctx, stack.Options{Progress: progress, Sources: []string{d.source}, Content: map[string]any{}})
		return err
	})
	g.Go(func() (err error) {
		d.engine, err = stack.Dockerd(gctx, stack.EngineOptions{Progress: progress})
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return d.fill(ctx)
}

// interrupted returns nil if Ctrl-C ended an interactive demo.
func (d *demo) interrupted(ctx context.Context, err error, once bool) error {
	if ctx.Err() != nil && !once {
		return nil
	}
	return err
}

func (d *demo) close() error {
	var errs []error
	if d.engine != nil {
		errs = append(errs, d.engine.Close())
	}
	if d.stack != nil {
		errs = append(errs, d.stack.Close())
	}
	return errors.Join(errs...)
}
