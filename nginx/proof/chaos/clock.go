package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

// A clock shifts the wall clock of the stack's programs, and nothing else's.
//
// authsvc and tokenrefresher are static Go programs, which no LD_PRELOAD reaches,
// and Linux's time namespaces leave the wall clock alone. So both are built here
// with one line more in the standard library's time.Now: it adds the seconds that
// it reads from a file in memory. Timers and durations use the monotonic clock, and
// stay as they are. nginx runs under libfaketime, which reads another file.
type clock struct {
	goFile, nginxFile string
}

// The environment variables with the two files.
const (
	goClockEnv    = "PULLGATE_CHAOS_CLOCK"
	nginxClockEnv = "FAKETIME_TIMESTAMP_FILE"
)

// keepEnv are lines of nginx.conf: nginx removes its environment otherwise.
const keepEnv = "env " + nginxClockEnv + ";\nenv FAKETIME_NO_CACHE;\nenv FAKETIME_DONT_FAKE_MONOTONIC;"

// overlaid is what the test build has in addition in package time.
const overlaid = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// wallOffset points to the seconds to add to the wall clock.
var wallOffset = new(int64)

func init() {
	path, ok := syscall.Getenv("` + goClockEnv + `")
	if !ok {
		return
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("opening the clock " + path + ": " + err.Error())
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("mapping the clock " + path + ": " + err.Error())
	}
	wallOffset = (*int64)(unsafe.Pointer(&page[0]))
}

func wallShift() int64 { return atomic.LoadInt64(wallOffset) }
`

// The line of time.Now that reads the clock, and what follows it in the test build.
const (
	nowLine    = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	nowShifted = nowLine + "\tsec += wallShift()\n"
)

// build builds both programs with a clock that can be shifted, and returns their
// directory. The files of the overlay stay the same, so that Go's cache has the
// result the next time.
func build(ctx context.Context, root string) (string, error) {
	dir := filepath.Join(root, ".build", "chaos")
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		return "", err
	}
	goroot, err := output(ctx, root, "go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	path := filepath.Join(strings.TrimSpace(goroot), "src", "time", "time.go")
	source, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if strings.Count(string(source), nowLine) != 1 {
		return "", fmt.Errorf("%s: expected these lines once, so that the clock can be shifted:\n%s", path, nowLine)
	}
	overlay := map[string]string{
		path: filepath.Join(dir, "time.go"),
		filepath.Join(filepath.Dir(path), "chaos_clock.go"): filepath.Join(dir, "chaos_clock.go"),
	}
	replace, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", err
	}
	for name, text := range map[string]string{
		"time.go":        strings.Replace(string(source), nowLine, nowShifted, 1),
		"chaos_clock.go": overlaid,
		"overlay.json":   string(replace),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	bin := filepath.Join(dir, "bin")
	_, err = output(ctx, root, "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", bin+"/", "./authsvc", "./tokenrefresher")
	return bin, err
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // static, as they are shipped
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// newClock creates the files in dir, with no shift.
func newClock(dir string) (*clock, error) {
	c := &clock{goFile: filepath.Join(dir, "clock"), nginxFile: filepath.Join(dir, "faketime")}
	if err := os.WriteFile(c.goFile, make([]byte, 8), 0o644); err != nil {
		return nil, err
	}
	return c, c.shift(0)
}

// faketime is where Debian's package puts the library, for each architecture.
const faketime = "/usr/lib/*-linux-gnu*/faketime/libfaketime.so.1"

// env is the environment of the stack's programs.
func (c *clock) env() ([]string, error) {
	library, err := filepath.Glob(faketime)
	if err != nil || len(library) == 0 {
		return nil, fmt.Errorf("found no %s (%w); as root: apt-get install faketime", faketime, err)
	}
	return []string{
		goClockEnv + "=" + c.goFile,
		"LD_PRELOAD=" + library[0], nginxClockEnv + "=" + c.nginxFile,
		"FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
	}, nil
}

// shift sets how far the programs' wall clock is from the machine's.
func (c *clock) shift(by time.Duration) error {
	seconds := int64(by / time.Second)
	file, err := os.OpenFile(c.goFile, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // written at once, below
	// In place: the programs have mapped this file.
	if _, err := file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(seconds)), 0); err != nil {
		return err
	}
	temporary := c.nginxFile + ".new"
	if err := os.WriteFile(temporary, fmt.Appendf(nil, "%+d\n", seconds), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, c.nginxFile)
}

// proven is the shift of the self-check.
const proven = 3 * time.Hour

// prove shows that every program follows the clock: its answers have the shifted
// Date, authsvc's log too, and the time that authsvc measures for a request, by the
// monotonic clock, does not.
func (c *clock) prove(ctx context.Context, s *stack.Stack) error {
	for _, by := range []time.Duration{proven, -proven, 0} {
		if err := c.shift(by); err != nil {
			return err
		}
		for program, url := range map[string]string{
			"nginx": s.URL + "/v2/", "authsvc": s.AuthsvcURL() + "/healthz", "tokenrefresher": s.TokenrefresherURL() + "/healthz",
		} {
			if err := waitFor(ctx, func() error { return dateIs(ctx, url, by) }); err != nil {
				return fmt.Errorf("the clock of %s cannot be shifted: %w", program, err)
			}
		}
		if by == 0 {
			break
		}
		if line := time.Now().Add(by).UTC().Format(`"time":"2006-01-02T15:`); !strings.Contains(s.Log("authsvc"), line) {
			return fmt.Errorf("expected %s in authsvc's log, found:\n%s", line, s.Log("authsvc"))
		}
	}
	all, err := metrics(ctx, s.AuthsvcURL())
	if err != nil {
		return err
	}
	if sum := all["authsvc_decision_duration_seconds_sum"]; sum > proven.Seconds()/2 || sum < 0 {
		return fmt.Errorf("authsvc measured %v s for its first requests: its timers follow the wall clock", sum)
	}
	return nil
}

func dateIs(ctx context.Context, url string, by time.Duration) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return err
	}
	if off := date.Sub(time.Now().Add(by)); off.Abs() > 10*time.Minute {
		return fmt.Errorf("expected a Date %v from now, found one that is off by %v", by, off)
	}
	return nil
}
