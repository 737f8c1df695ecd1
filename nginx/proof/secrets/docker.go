package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

// docker logs in and pulls with a real client: right, wrong, and without a license.
func (r *rig) docker(ctx context.Context) (err error) {
	if r.short {
		r.note("not in a short run")
		return nil
	}
	engine, err := stack.Dockerd(ctx, stack.EngineOptions{Progress: r.out})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	client, err := engine.Client()
	if err != nil {
		return err
	}
	outputs := 0
	show := func(out string, err error) error {
		outputs++
		r.learn()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.search.Text("output", "docker", out)
		return err
	}
	wrong := r.stranger("wrong docker login")
	if err := show(client.Login(ctx, r.stack.Host, wrong.user, wrong.token)); err == nil {
		return errors.New("docker login with a wrong token: expected a refusal, found success")
	}
	if err := show(client.Login(ctx, r.stack.Host, r.ann.user, r.ann.token)); err != nil {
		return err
	}
	if err := show(client.Pull(ctx, r.stack.Host+"/"+repository+":1.0")); err != nil {
		return err
	}
	if err := show(client.Pull(ctx, r.stack.Host+"/acme/none:1.0")); err == nil {
		return errors.New("docker pull of what is not licensed: expected a refusal, found success")
	}
	r.note("%d outputs of docker", outputs)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.search.Tree(client.Config, time.Time{}, nil, r.kind); err != nil {
		return err
	}
	if log := filepath.Join(filepath.Dir(client.Config), "dockerd.log"); engine.Own {
		return r.search.Tree(log, time.Time{}, nil, r.kind)
	}
	return nil
}
