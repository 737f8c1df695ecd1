package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A step checks something that must hold, and returns what it saw.
type step struct {
	what string
	do   func(*world, context.Context) (string, error)
}

// steps run in this order; each starts from the state that the previous ones left.
var steps = []step{
	{"packages: lintian, checksums", (*world).lintPackages},
	{"units: systemd-analyze security, at most 1.5", (*world).judgeUnits},
	{"a Debian with systemd, and an nginx with an unrelated site", (*world).bootFirst},
	{"--check --diff on the fresh machine", (*world).checkFresh},
	{"deploy over ssh", (*world).deployFirst},
	{"docker login and pull; an unlicensed tag is denied", (*world).dockerPulls},
	{"the second run changes nothing", (*world).secondRun},
	{"--check --diff of a change, on the deployed machine", (*world).checkDeployed},
	{"confinement of each service", (*world).confinement},
	{"upgrade under 30 parallel pulls", (*world).upgradeUnderLoad},
	{"an upgrade leaves no include of an older layout", (*world).upgradeLayout},
	{"an invalid authsvc configuration is refused", (*world).refuseAuthsvc},
	{"an invalid nginx configuration is refused", (*world).refuseNginx},
	{"becoming the default server of a shared port is refused", (*world).refuseDefault},
	{"a deployment that does not become healthy is rolled back", (*world).rollBack},
	{"after an interrupted run, the next completes it or rolls it back", (*world).breakOff},
	{"systemctl restart of authsvc, under load", restart("authsvc")},
	{"systemctl restart of tokenrefresher, under load", restart("tokenrefresher")},
	{"kill -9 of authsvc", kill("authsvc")},
	{"kill -9 of tokenrefresher", kill("tokenrefresher")},
	{"full disk for the token file", (*world).fullDisk},
	{"tokenrefresher by timer, and back", (*world).timerMode},
	{"reboot of the machine", (*world).rebootMachine},
	{"rolling upgrade of two machines behind haproxy, under load", (*world).rollTwo},
	{"the rollout stops at the first machine that fails", (*world).stopAtFirst},
	{"state=absent removes everything", (*world).remove},
	{"other settings: behind a TLS load balancer, other ports and groups", (*world).otherSettings},
	{"without Ansible: install, upgrade, purge", (*world).byHand},
	{"the unrelated site, all the time", (*world).siteVerdict},
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
