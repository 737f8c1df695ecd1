package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/pullgate/pullgate/nginx/stack"
)

// patience is how long a client may take. It is long: what is slow is not lost.
const patience = 3 * time.Minute

// A client is one program of one customer, in a directory of its own. It comes from
// an address of its own, through a relay.
type client struct {
	program string
	path    string
	dir     string // its home
	host    string // of the relay
	docker  *stack.DockerClient
}

// install says how to get each program.
var install = map[string]string{
	"crane": "nginx/stack/install.sh chaos", "regctl": "nginx/stack/install.sh chaos", "skopeo": "as root: apt-get install skopeo",
}

func newClient(program, root, dir, host string) (*client, error) {
	c := &client{program: program, dir: dir, host: host}
	var err error
	if c.path, err = exec.LookPath(program); err != nil {
		c.path = filepath.Join(root, ".build", "bin", program)
		if _, err := os.Stat(c.path); err != nil {
			return nil, fmt.Errorf("%s is not installed; %s", program, install[program])
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, ".regctl"), 0o700); err != nil {
		return nil, err
	}
	// regctl expects TLS unless it is told otherwise.
	regctl := fmt.Sprintf(`{"hosts":{%q:{"tls":"disabled"}}}`, host)
	return c, os.WriteFile(filepath.Join(dir, ".regctl", "config.json"), []byte(regctl), 0o600)
}

// login writes the file that each of the programs reads.
func (c *client) login(as credential) error {
	auth := base64.StdEncoding.EncodeToString([]byte(as.user + ":" + as.secret))
	text, err := json.Marshal(map[string]any{"auths": map[string]any{c.host: map[string]string{"auth": auth}}})
	if err != nil {
		return err
	}
	dir := c.dir
	if c.docker != nil {
		dir = c.docker.Config
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
}

// commands are the arguments to fetch a reference into an OCI layout, and to list
// tags. Clients that do not retry by default do so here, as customers' scripts do.
var commands = map[string]func(ask, name, to string) []string{
	"crane": func(ask, name, to string) []string {
		if ask == aList {
			return []string{"ls", "--insecure", name}
		}
		return []string{"pull", "--insecure", "--format", "oci", name, to}
	},
	"skopeo": func(ask, name, to string) []string {
		if ask == aList {
			return []string{"list-tags", "--retry-times", "3", "--tls-verify=false", "docker://" + name}
		}
		return []string{"copy", "--quiet", "--insecure-policy", "--preserve-digests", "--retry-times", "3", "--src-tls-verify=false", "docker://" + name, "oci:" + to}
	},
	"regctl": func(ask, name, to string) []string {
		if ask == aList {
			return []string{"tag", "ls", name}
		}
		return []string{"image", "copy", name, "ocidir://" + to}
	},
}

// fetch runs the client once, and verifies what it got.
func (c *client) fetch(ctx context.Context, k kind, r request) (p pull, err error) {
	p = pull{customer: k.name, asks: r.asks(), want: k.want, began: time.Now()}
	to := filepath.Join(c.dir, "image")
	if err := os.RemoveAll(to); err != nil {
		return p, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, failed := c.run(limited, &p, r, to)
	if ctx.Err() != nil {
		return p, ctx.Err()
	}
	p.ended, p.output = time.Now(), out
	last := final(out)
	if failed == nil {
		p.outcome = served
		if wrong := c.verify(r, to, last); wrong != nil {
			p.outcome, p.output = otherwise, fmt.Sprintf("%s\n%v", out, wrong)
		}
		return p, nil
	}
	p.output = fmt.Sprintf("%s\n%v", out, failed)
	p.outcome = classify(k, last)
	return p, nil
}

func (c *client) run(ctx context.Context, p *pull, r request, to string) (string, error) {
	name := r.name(c.host)
	if c.docker != nil {
		p.command = "docker pull " + name
		out, err := c.docker.Run(ctx, "", "pull", name)
		if err == nil {
			err = c.docker.Remove(ctx, name)
		}
		return out, err
	}
	args := commands[c.program](r.asks(), name, to)
	p.command = c.program + " " + strings.Join(args, " ")
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env = []string{
		"HOME=" + c.dir, "DOCKER_CONFIG=" + c.dir, "REGISTRY_AUTH_FILE=" + filepath.Join(c.dir, "config.json"),
		"XDG_RUNTIME_DIR=" + c.dir, "TMPDIR=" + c.dir, "PATH=" + os.Getenv("PATH"), "GOMAXPROCS=1",
	}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var interim = regexp.MustCompile(`(?m)^.*(retrying|Retrying|level=WARN|level=warning).*\n?`)

// final leaves out what a client said about tries before the last one.
func final(out string) string { return interim.ReplaceAllString(out, "") }

// statuses are the words by which clients tell each answer. A number alone is not
// enough: digests and sizes contain it, too.
var statuses = []struct {
	is     outcome
	status string
	words  *regexp.Regexp
}{
	{busy, "429", regexp.MustCompile(`(?i)toomanyrequests|too many|\b429\b`)},
	{unavailable, "503", regexp.MustCompile(`(?i)temporarily unavailable|service unavailable|gateway|internal server error|\b50[0-9]\b|EOF|connection (refused|reset)|broken pipe|timeout|deadline exceeded|closed network connection`)},
	{refused, "401", regexp.MustCompile(`(?i)unauthorized|\b401\b`)},
	{refused, "403", regexp.MustCompile(`(?i)denied|forbidden|\b403\b`)},
	{refused, "404", regexp.MustCompile(`(?i)unknown|not found|\b404\b`)},
}

// classify tells an outage from a refusal by what the client said. A refusal that
// is not the expected one counts as wrong content: the customer was told something
// that is not true.
func classify(k kind, out string) outcome {
	for _, s := range statuses {
		if !s.words.MatchString(out) {
			continue
		}
		if s.is == refused && k.want == refused && s.status != k.status {
			return otherwise
		}
		return s.is
	}
	return unavailable
}

// verify checks that the client got what was asked for, byte for byte.
func (c *client) verify(r request, dir, out string) error {
	switch {
	case r.asks() == aList:
		if tags := listed(out); !sameTags(tags) {
			return fmt.Errorf("expected the tags %q, found %q", releaseTags(), tags)
		}
		return nil
	case c.docker != nil: // which verifies the content itself
		if !strings.Contains(out, "Digest: "+r.digest) {
			return fmt.Errorf("expected the digest %s", r.digest)
		}
		return nil
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != r.digest {
		return fmt.Errorf("expected the digest %s alone, found %v", r.digest, manifest.Manifests)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return err
	}
	return validate.Image(image)
}

// listed returns the tags in a client's output: one a line, or skopeo's JSON.
func listed(out string) []string {
	var list struct{ Tags []string }
	if json.Unmarshal([]byte(out), &list) == nil {
		return list.Tags
	}
	return strings.Fields(out)
}
