package stack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
)

// contentProcess is the content store's process, and the name of its files.
const contentProcess = "content"

// ContentFolder is where the content store's files are.
func (s *Stack) ContentFolder() string { return filepath.Join(s.Dir, "files") }

// ContentURL is the content store's private listener.
func (s *Stack) ContentURL() string { return fmt.Sprintf("http://127.0.0.1:%d", s.contentPort) }

// configureContent writes content.yaml.
func (s *Stack) configureContent() error {
	if s.opts.Content == nil {
		return nil
	}
	if err := os.MkdirAll(s.ContentFolder(), 0o750); err != nil {
		return fmt.Errorf("configuring the content store: %w", err)
	}
	var upstreams, buckets []any
	for _, u := range s.upstreams {
		upstreams = append(upstreams, map[string]any{"name": u.Name, "host": u.Host, "address": u.Endpoint.Addr()})
		if u.ECR != nil {
			buckets = append(buckets, u.ECR.Bucket.Addr())
		}
	}
	return s.configure(contentProcess, map[string]any{
		"listen.address":  "unix:" + filepath.Join(s.Dir, "store.sock"),
		"served.address":  "unix:" + filepath.Join(s.Dir, "served.sock"),
		"control.address": "unix:" + filepath.Join(s.Dir, "content-control.sock"),
		"private.address": fmt.Sprintf("127.0.0.1:%d", s.contentPort),
		"folder":          s.ContentFolder(),
		"min_free":        "1MB",
		"redirects.hosts": buckets,
		"ca_file":         s.ca.File,
		"upstreams":       upstreams,
	}, s.opts.Content)
}

// StartContent starts or restarts the content store, if there is one, and waits until
// it is ready.
func (s *Stack) StartContent(ctx context.Context) error {
	if s.opts.Content == nil {
		return nil
	}
	p, err := s.start(contentProcess, command{
		argv: []string{s.Program("authsvc"), "content", "--config", s.configFile(contentProcess)}, env: append(baseEnv(s.Dir), s.opts.Env...),
	})
	if err != nil {
		return err
	}
	return poll(ctx, s.opts.Timeout, p, answers(s.client, s.ContentURL()+"/readyz", http.StatusOK))
}

// KillContent kills the content store.
func (s *Stack) KillContent() { s.Process(contentProcess).Kill() }

// contentChanges make nginx serve files.
func (s *Stack) contentChanges() []change {
	return []change{
		{"blobs.conf", regexp.MustCompile(`(?s)\ninclude (\S+redirect\.conf;)\n#include`), "\n#include ${1}\ninclude"},
		{"content-store.conf", regexp.MustCompile(`/run/authsvc-content/`), s.Dir + "/"},
		{"content-served.conf", regexp.MustCompile(`/run/authsvc-content/`), s.Dir + "/"},
		{"content-files.conf", regexp.MustCompile(`/var/lib/authsvc-content`), s.ContentFolder()},
	}
}

// ReconfigureContent changes keys of the content store's configuration, and restarts it.
func (s *Stack) ReconfigureContent(ctx context.Context, keys map[string]any) error {
	for key, value := range keys {
		s.opts.Content[key] = value
	}
	if err := s.Process(contentProcess).Stop(); err != nil {
		return err
	}
	if err := s.configureContent(); err != nil {
		return err
	}
	return s.StartContent(ctx)
}

// ContentIdle says whether the content store fetches nothing.
func (s *Stack) ContentIdle(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.ContentURL()+"/metrics", nil)
	if err != nil {
		return false
	}
	response, err := s.client.Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return err == nil && bytes.Contains(text, []byte("\nauthsvc_content_fetches_in_progress 0\n"))
}
