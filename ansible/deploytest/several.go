package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// What customers pull from each registry of inventory.several.example, and what ECR has
// under another name.
var (
	severalImages = []string{image, "vendor/app:1.0", "tools/cli:1.0", "partner/agent:1.0"}
	severalPushed = []string{"prod-eu/app:1.0", "prod-eu/probe:1", unseenImage, "tools/cli:1.0", "partner/agent:1.0"}
)

// unseenImage is licensed and replicated, but nobody has pulled it.
const unseenImage = "acme/appliance:1.9"

// severalRegistries deploys the example with two accounts, a stand-by, and a registry
// that is not ECR. Then the first region dies, and comes back.
func (w *world) severalRegistries(ctx context.Context) (string, error) {
	one := w.config
	defer func() { w.config = one }() // for the next step to deploy
	if err := w.startRegions(ctx); err != nil {
		return "", err
	}
	if err := w.pushSeveral(ctx); err != nil {
		return "", err
	}
	docker, err := w.customerOfDocker(ctx)
	if err != nil {
		return "", err
	}
	if err := w.configureSeveral(); err != nil {
		return "", err
	}
	l := w.startTraffic(ctx, 2, 200*time.Millisecond)
	r, err := w.deploy(ctx)
	pulls, failed := l.end()
	if err := errors.Join(err, failed); err != nil {
		return "", err
	}
	if err := w.onlyTokens(ctx, "eu", "partner", "tools", "us"); err != nil {
		return "", err
	}
	if err := pullAll(ctx, docker, severalImages); err != nil {
		return "", err
	}
	seen, err := w.regionDies(ctx, docker)
	return fmt.Sprintf("deployed in %s, %s; %s", r.took, pulls, seen), err
}

// configureSeveral edits the example as the README says.
func (w *world) configureSeveral() (err error) {
	if w.config, err = w.newInventory(several); err != nil {
		return err
	}
	w.edit(w.config, ecrFront, standbyFront, toolsFront, partnerFront)
	w.config.set("tokenrefresher_secrets", map[string]string{"partner.user": partnerUser, "partner.password": vaulted})
	return w.machines[0].put("etc/ssl/partner-ca.pem", w.regions.authority)
}

// licensed is what the customer may pull, of each registry.
func licensed() (releases []vendorapi.Release) {
	for _, ref := range severalImages {
		repository, _, _ := strings.Cut(ref, ":")
		releases = append(releases, vendorapi.Release{Repository: repository, Tags: []string{"1.*"}})
	}
	return releases
}

func (w *world) pushSeveral(ctx context.Context) error {
	for _, ref := range severalPushed {
		img, err := stack.Image(ref)
		if err != nil {
			return err
		}
		if _, err := w.outside.Push(ctx, ref, img); err != nil {
			return err
		}
	}
	return nil
}

// onlyTokens checks that there are the token files of these registries and no others.
func (w *world) onlyTokens(ctx context.Context, names ...string) error {
	out, err := w.machines[0].ssh(ctx, "cd /run/tokenrefresher; ls *.json; tokenrefresher status")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if files := strings.Join(names, ".json\n") + ".json\n"; !strings.HasPrefix(out, files+"REGISTRY") {
		return fmt.Errorf("expected the token files of %q alone, found:\n%s", names, out)
	}
	return nil
}

// pullAll pulls images that docker does not have.
func pullAll(ctx context.Context, docker *stack.DockerClient, images []string) error {
	for _, ref := range images {
		ref = serverName + "/" + ref
		_ = docker.Remove(ctx, ref) // it may not be there
		if out, err := docker.Pull(ctx, ref); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
	}
	return nil
}

// regionDies kills eu. Its stand-by serves what was seen there, the other registries
// serve as before, and whatever was never seen is unavailable. Then eu comes back.
func (w *world) regionDies(ctx context.Context, docker *stack.DockerClient) (string, error) {
	eu := w.outside.ECR
	servers := []*standin.Server{eu.API, eu.Front, eu.Bucket}
	var errs []error
	for _, server := range servers {
		errs = append(errs, server.Refuse())
	}
	before := w.regions.us.Front.Received()
	l := w.startTraffic(ctx, 2, 100*time.Millisecond)
	errs = append(errs, eventually(ctx, 30*time.Second, func(ctx context.Context) error { return w.wantStandby(ctx, 1) }))
	errs = append(errs, pullAll(ctx, docker, severalImages))
	pulls, failed := l.end()
	if err := errors.Join(append(errs, failed)...); err != nil {
		return "", fmt.Errorf("while eu is down: %w", err)
	}
	if served := w.regions.us.Front.Received() - before; served == 0 {
		return "", errors.New("expected the stand-by to be asked, but it was not")
	}
	if out, err := docker.Pull(ctx, serverName+"/"+unseenImage); err == nil {
		return "", fmt.Errorf("expected what eu had not shown to be unavailable, but it was pulled:\n%s", out)
	}
	out, err := w.machines[0].ssh(ctx, "curl -sf "+privateURL+"/readyz")
	if err != nil || !strings.Contains(out, "degraded: registry eu fails") {
		return "", fmt.Errorf("expected /readyz to name the registry that fails, found %w\n%s", err, out)
	}
	for _, server := range servers {
		errs = append(errs, server.Accept())
	}
	began := time.Now()
	errs = append(errs, eventually(ctx, 2*time.Minute, func(ctx context.Context) error { return w.wantStandby(ctx, 0) }))
	errs = append(errs, eventually(ctx, 30*time.Second, func(ctx context.Context) error { return pullAll(ctx, docker, []string{unseenImage}) }))
	return fmt.Sprintf("without eu %s; back by itself after %.0f s", pulls, time.Since(began).Seconds()), errors.Join(errs...)
}

// wantStandby waits for the metric of the alert RegistryOnStandby.
func (w *world) wantStandby(ctx context.Context, value int) error {
	metric := fmt.Sprintf("authsvc_upstream_on_standby{upstream=\"eu\"} %d\n", value)
	out, err := w.machines[0].ssh(ctx, "curl -s "+privateURL+"/metrics | grep '^authsvc_upstream'")
	if err == nil && !strings.Contains(out, metric) {
		err = fmt.Errorf("expected %q, found:\n%s", metric, out)
	}
	return err
}
