package monitoring_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// A prometheus is a real one.
type prometheus struct {
	t       *testing.T
	file    string
	process *os.Process
	url     string
	began   time.Time
}

// limit is far longer than anything that is waited for.
const limit = 2 * time.Minute

// waitFor retries until done, and fails with what was missing.
func waitFor(t *testing.T, done func() (missing string)) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		missing := done()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", missing)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// startPrometheus starts one that watches the targets of each job.
func startPrometheus(t *testing.T, targets map[string]string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	p := &prometheus{t: t, file: filepath.Join(dir, "prometheus.yml"), began: time.Now()}
	p.configure(targets)
	log := filepath.Join(dir, "log")
	p.process = run(t, log, exec.Command(tool(t, "prometheus"),
		"--config.file="+p.file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0"))
	listens := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
	waitFor(t, func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			return err.Error()
		}
		if match := listens.FindSubmatch(text); match != nil {
			p.url = "http://" + string(match[1])
			return ""
		}
		return "prometheus to listen:\n" + string(text)
	})
	waitFor(t, func() string {
		response, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return err.Error()
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
			return "prometheus to be ready: " + response.Status
		}
		return ""
	})
	return p
}

// configure writes prometheus.yml as shipped, except for the targets of the jobs and
// the scrape interval.
func (p *prometheus) configure(targets map[string]string) {
	p.t.Helper()
	config := scrapeConfig(p.t)
	config.Global = map[string]string{"scrape_interval": "1s", "evaluation_interval": "1s"}
	config.RuleFiles = []string{absolute(p.t, alertsFile)}
	for i, job := range config.Scrape {
		config.Scrape[i].Targets = nil
		if target := targets[job.Name]; target != "" {
			config.Scrape[i].Targets = []scrapeTargets{{[]string{strings.TrimPrefix(target, "http://")}}}
		}
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.file, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// watch changes the targets of the running one.
func (p *prometheus) watch(targets map[string]string) {
	p.t.Helper()
	p.configure(targets)
	if err := p.process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
}

// run starts a program that ends with the test, even if the test is killed.
func run(t *testing.T, log string, cmd *exec.Cmd) *os.Process {
	t.Helper()
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// Pdeathsig comes when the thread ends (golang.org/issue/27505).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ends is of no interest
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
		case <-time.After(limit):
			_ = cmd.Process.Kill()
			<-ended
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
	return cmd.Process
}

// A result is a series, with its value or its values.
type result struct {
	Metric map[string]string
	Value  []any
	Values [][]any
}

// An alert is active: pending or firing.
type alert struct {
	Labels, Annotations map[string]string
	State               string
}

// get asks the API, which must not answer with an error.
func (p *prometheus) get(path string, parameters url.Values, into any) {
	p.t.Helper()
	response, err := http.Get(p.url + "/api/v1/" + path + "?" + parameters.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it is read
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("%s %v: %v, %s", path, parameters, err, answer.Error)
	}
}

// query evaluates an expression now.
func (p *prometheus) query(expr string) []result {
	p.t.Helper()
	var data struct{ Result []result }
	p.get("query", url.Values{"query": {expr}}, &data)
	return data.Result
}

// since evaluates an expression for each second since the start.
func (p *prometheus) since(expr string) []result {
	p.t.Helper()
	var data struct{ Result []result }
	parameters := p.span()
	parameters.Set("query", expr)
	parameters.Set("step", "1")
	p.get("query_range", parameters, &data)
	return data.Result
}

// series returns the series that match, and were there since the start.
func (p *prometheus) series(selector string) []map[string]string {
	p.t.Helper()
	var data []map[string]string
	parameters := p.span()
	parameters.Set("match[]", selector)
	p.get("series", parameters, &data)
	return data
}

func (p *prometheus) span() url.Values {
	seconds := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	return url.Values{"start": {seconds(p.began)}, "end": {seconds(time.Now().Add(time.Second))}}
}

func (p *prometheus) alerts() []alert {
	p.t.Helper()
	var data struct{ Alerts []alert }
	p.get("alerts", nil, &data)
	return data.Alerts
}

// evaluated returns since when each rule has been evaluated at the latest, and
// what was wrong with any.
func (p *prometheus) evaluated() (oldest time.Time, problems []string) {
	p.t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError string
				LastEvaluation          time.Time
			}
		}
	}
	p.get("rules", nil, &data)
	oldest = time.Now()
	for _, group := range data.Groups {
		for _, r := range group.Rules {
			if r.LastEvaluation.Before(oldest) {
				oldest = r.LastEvaluation
			}
			if r.Health != "ok" && r.Health != "unknown" {
				problems = append(problems, r.Name+": "+r.LastError)
			}
		}
	}
	if len(data.Groups) == 0 {
		problems = append(problems, "expected rules, found none")
	}
	return oldest, problems
}
