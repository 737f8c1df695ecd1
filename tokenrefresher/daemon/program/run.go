package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A Status is an error that gives the program an exit status other than 1.
type Status struct {
	Code int
	// Err goes to stderr; nil if the status says it all.
	Err error
}

// Error implements error.
func (s Status) Error() string {
	if s.Err == nil {
		return fmt.Sprintf("exit status %d", s.Code)
	}
	return s.Err.Error()
}

// Unwrap returns Err.
func (s Status) Unwrap() error { return s.Err }

// Main runs a program until it ends, or SIGINT or SIGTERM ends ctx. An error
// goes to stderr, and the exit status is 1 or a Status's.
func Main(name string, run func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error) {
	if err := hideMemory(); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err == nil {
		return
	}
	var status Status
	if !errors.As(err, &status) {
		status = Status{1, err}
	}
	if status.Err != nil {
		fmt.Fprintln(os.Stderr, name+":", status.Err)
	}
	os.Exit(status.Code)
}

// Execute runs root, the program's command, with args. Others are command lines of
// the program that have flags of their own, for its manual.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer, others ...*cobra.Command) error {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.AddCommand(Commands(others...)...)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// A Loader reads the configuration that a command was given.
type Loader[Config any] func(*cobra.Command) (Config, error)

// NewLoader gives root the flag --config, whose default is the file that the
// program's package installs.
func NewLoader[Config any](root *cobra.Command, environ []string, load func(file string, environ []string, flags *pflag.FlagSet) (Config, error)) Loader[Config] {
	name := root.Name()
	file := root.PersistentFlags().String("config", "/etc/"+name+"/"+name+".yaml", "YAML file to read")
	return func(cmd *cobra.Command) (Config, error) { return load(*file, environ, cmd.Flags()) }
}

// CheckConfig is the command that loads and checks the configuration. Long says
// what it checks.
func (load Loader[Config]) CheckConfig(long string, check func(Config) error) *cobra.Command {
	return &cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration and exit",
		Long:  long + "\nReports every problem, and exits with 1 if there is any.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd)
			if err != nil {
				return err
			}
			if err := check(c); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the configuration is valid")
			return err
		},
	}
}
