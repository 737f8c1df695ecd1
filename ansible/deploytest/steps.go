package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A step checks something that must hold, and returns what it saw.
type step struct {
	what string
	do   func(*world, context.Context) (string, error)
	// long steps are left out by -short: those with a second machine, and those
	// that take minutes. No other step needs them.
	long bool
}

// steps returns the steps to run.
func (o options) steps() []step {
	matches := regexp.MustCompile(o.run).MatchString
	return slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return o.short && s.long || !matches(s.what) })
}

// steps run in this order; each starts from the state that the previous ones left.
var steps = []step{
	{"packages: lintian, checksums", (*world).lintPackages, false},
	{"units: systemd-analyze security, at most 1.5", (*world).judgeUnits, false},
	{"a Debian with systemd, and an nginx with an unrelated site", (*world).bootFirst, false},
	{"--check --diff on the fresh machine", (*world).checkFresh, false},
	{"deploy over ssh", (*world).deployFirst, false},
	{"docker login and pull; an unlicensed tag is denied", (*world).dockerPulls, false},
	{"the second run changes nothing", (*world).secondRun, false},
	{"--check --diff of a change, on the deployed machine", (*world).checkDeployed, false},
	{"no secret in Ansible's output (-vvv), journal, files, processes, units, core dumps", (*world).searchSecrets, false},
	{"confinement of each service", (*world).confinement, false},
	{"explain of an allowed, a refused, and an unavailable pull", (*world).explainPulls, false},
	{"made-up pulls, and their alert when nginx's resolver is broken", (*world).probes, false},
	{"two sources of customers, with a secret and a file, by the playbook", (*world).twoSources, true},
	{"systemctl reload of authsvc, under load", (*world).reloadUnderLoad, false},
	{"the playbook reloads authsvc where that is enough", (*world).playbookReloads, true},
	{"several registries, and a region that dies", (*world).severalRegistries, false},
	{"upgrade under 30 parallel pulls, from an older layout, back to one registry", (*world).upgradeUnderLoad, false},
	{"an invalid authsvc configuration is refused", (*world).refuseAuthsvc, false},
	{"an invalid nginx configuration is refused", (*world).refuseNginx, false},
	{"becoming the default server of a shared port is refused", (*world).refuseDefault, false},
	{"a deployment that does not become healthy is rolled back", (*world).rollBack, false},
	{"after an interrupted run, the next completes it or rolls it back", (*world).breakOff, true},
	{"systemctl restart of authsvc, under load", restart("authsvc"), false},
	{"systemctl restart of tokenrefresher, under load", restart("tokenrefresher"), false},
	{"kill -9 of authsvc", kill("authsvc"), false},
	{"kill -9 of tokenrefresher", kill("tokenrefresher"), false},
	{"full disk for the token file", (*world).fullDisk, false},
	{"tokenrefresher by timer, and back", (*world).timerMode, true},
	{"reboot of the machine", (*world).rebootMachine, false},
	{"rolling upgrade of two machines behind haproxy, under load", (*world).rollTwo, true},
	{"the rollout stops at the first machine that fails", (*world).stopAtFirst, true},
	{"state=absent removes everything", (*world).remove, true},
	{"other settings: behind a TLS load balancer, other ports and groups", (*world).otherSettings, true},
	{"without Ansible: install, upgrade, purge", (*world).byHand, true},
	{"the unrelated site, all the time", (*world).siteVerdict, false},
}

// runSteps prints a line for each step. A failure ends it, and prints the logs.
func (w *world) runSteps(ctx context.Context, steps []step) error {
	watching, stop := context.WithCancel(ctx)
	w.site = &siteWatch{stop: stop}
	defer func() {
		stop()
		w.site.done.Wait()
	}()
	w.watching = watching
	fmt.Printf("\n%-6s %7s  %-66s %s\n", "", "time", "step", "seen")
	for i, s := range steps {
		began := time.Now()
		seen, err := s.do(w, ctx)
		took := time.Since(began).Seconds()
		if err != nil {
			fmt.Printf("%-6s %6.1fs  %s\n\n%v\n\n", "FAILED", took, s.what, err)
			for _, m := range w.machines {
				fmt.Println(m.journal(context.WithoutCancel(ctx)))
			}
			for _, s := range steps[i+1:] {
				fmt.Printf("%-6s %7s  %s\n", "not", "run", s.what)
			}
			return fmt.Errorf("step %d of %d failed: %s", i+1, len(steps), s.what)
		}
		fmt.Printf("%-6s %6.1fs  %-66s %s\n", "ok", took, s.what, strings.ReplaceAll(seen, "\n", "; "))
	}
	fmt.Printf("\nall %d steps passed\n", len(steps))
	return nil
}

func (w *world) siteVerdict(context.Context) (string, error) {
	w.site.stop()
	w.site.done.Wait()
	return w.site.verdict()
}
