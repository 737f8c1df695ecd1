package main

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/tokenrefresher/basic"
	"github.com/pullgate/pullgate/tokenrefresher/config"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
	"github.com/pullgate/pullgate/tokenrefresher/ecr"
	"github.com/pullgate/pullgate/tokenrefresher/probe"
	"github.com/pullgate/pullgate/tokenrefresher/refresh"
)

// build builds the registries from the configuration. It sends and writes nothing
// yet.
func build(c config.Config, logger *slog.Logger, numbers prometheus.Registerer) ([]*refresh.Registry, error) {
	metrics := refresh.NewMetrics(numbers)
	var registries []*refresh.Registry
	for i, r := range c.Registries {
		if r.Group != "" {
			if _, err := system.Group(r.Group); err != nil {
				return nil, fmt.Errorf("configuration: registries[%d].group: %w", i, err)
			}
		}
		options := refresh.Options{
			Name: r.Name, File: r.File, Group: r.Group, Source: source(r),
			Schedule: schedule(c), Timeout: c.Timeout, ForcedEvery: c.Control.MinInterval,
			Random: rand.Float64, Logger: logger, Metrics: metrics,
		}
		if r.Probe {
			prober, err := probe.New(r.ProbeURL, r.CAFile)
			if err != nil {
				return nil, fmt.Errorf("configuration: registries[%d].ca_file: %w", i, err)
			}
			options.Prober = prober
		}
		registries = append(registries, refresh.New(options))
	}
	return registries, nil
}

// schedule is that of all registries.
func schedule(c config.Config) refresh.Schedule {
	return refresh.Schedule{
		Interval: c.Interval, Margin: c.Margin, Jitter: c.Jitter,
		BackoffInitial: c.Backoff.Initial, BackoffMax: c.Backoff.Max,
	}
}

func source(r config.Registry) refresh.Source {
	if r.Kind == config.Basic {
		return basic.New(r.Host, settings.SecretPath(r.UsernameFile), settings.SecretPath(r.PasswordFile))
	}
	return ecr.New(ecr.Config{Region: r.Region, RegistryID: r.RegistryID, RoleARN: r.RoleARN, Endpoint: r.Endpoint, Host: r.Host})
}

// check builds everything that serve would build, and discards it.
func check(c config.Config) error {
	if c.Control.Group != "" {
		if _, err := system.Group(c.Control.Group); err != nil {
			return fmt.Errorf("configuration: control.group: %w", err)
		}
	}
	_, err := build(c, slog.New(slog.NewJSONHandler(io.Discard, nil)), prometheus.NewRegistry())
	return err
}
