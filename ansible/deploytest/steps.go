package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A step is something that has to hold. It returns what it has seen.
type step struct {
	what string
	do   func(*world, context.Context) (string, error)
}

// steps, each on what those before it have left.
var steps = []step{
	{"packages: lintian, checksums", (*world).lintPackages},
	{"units: systemd-analyze security, at most 1.5", (*world).judgeUnits},
	{"a Debian with systemd, and an nginx with an unrelated site", (*world).bootFirst},
	{"--check --diff on the fresh machine", (*world).checkFresh},
	{"deploy by ssh", (*world).deployFirst},
	{"docker login and pull; what is not licensed is denied", (*world).dockerPulls},
	{"the second run changes nothing", (*world).secondRun},
	{"--check --diff of a change, on the deployed machine", (*world).checkDeployed},
	{"what each service may do", (*world).confinement},
	{"upgrade under 30 parallel pulls", (*world).upgradeUnderLoad},
	{"an upgrade leaves no include of an older layout", (*world).upgradeLayout},
	{"a broken configuration of authsvc is refused", (*world).refuseAuthsvc},
	{"a broken configuration of nginx is refused", (*world).refuseNginx},
	{"being the default server of a shared port is refused", (*world).refuseDefault},
	{"what does not become healthy is rolled back", (*world).rollBack},
	{"a run that is broken off is finished, or put back, by the next", (*world).breakOff},
	{"systemctl restart of authsvc, under load", restart("authsvc")},
	{"systemctl restart of tokenrefresher, under load", restart("tokenrefresher")},
	{"kill -9 of authsvc", kill("authsvc")},
	{"kill -9 of tokenrefresher", kill("tokenrefresher")},
	{"full disk for the token file", (*world).fullDisk},
	{"tokenrefresher by timer, and back", (*world).timerMode},
	{"reboot of the machine", (*world).rebootMachine},
	{"two machines behind haproxy roll, one after the other, under load", (*world).rollTwo},
	{"a rollout stops at the first machine that fails", (*world).stopAtFirst},
	{"state=absent removes everything", (*world).remove},
	{"other settings: behind a balancer that ends TLS, other ports and groups", (*world).otherSettings},
	{"without Ansible: install, upgrade, purge", (*world).byHand},
	{"the unrelated site, throughout", (*world).siteVerdict},
}

// runSteps prints a line for each. What fails ends it, with the logs.
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
	fmt.Printf("\nall %d steps hold\n", len(steps))
	return nil
}

func (w *world) siteVerdict(context.Context) (string, error) {
	w.site.stop()
	w.site.done.Wait()
	return w.site.verdict()
}
