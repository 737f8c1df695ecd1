package stack_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

// parentEnv turns the test binary into a program that starts a stack and waits.
const parentEnv = "PULLGATE_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) == "" {
		os.Exit(m.Run())
	}
	s, err := stack.Start(context.Background(), stack.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.Dir)
	time.Sleep(time.Hour)
}

// A killed parent cannot clean up, but its children still end.
func TestChildrenDieWithTheirParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"=yes", "TMPDIR="+t.TempDir())
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	dir, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the parent did not start its stack: %v", err)
	}
	dir = strings.TrimSpace(dir)
	if n := len(processesIn(t, dir)); n < 5 {
		t.Errorf("%d processes belong to %s, expected nginx's two, authsvc, tokenrefresher and docker-registry", n, dir)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed
	deadline := time.Now().Add(15 * time.Second)
	for {
		left := processesIn(t, dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still running: %q", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
