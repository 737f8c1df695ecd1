package log

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lines are JSON lines that can be read while they are written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was written since it was called last: of each line the
// message, the registry and the number of repeats.
func (l *lines) take(t *testing.T) (found []string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for decoder := json.NewDecoder(&l.b); decoder.More(); {
		var line struct {
			Msg, Registry, Error string
			Repeated             int
		}
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		found = append(found, fmt.Sprint(line.Msg, line.Registry, " ", line.Error, " ", line.Repeated))
	}
	l.b.Reset()
	return found
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFoldsWhatRepeats: a registry that refused connections made 126,000 lines
// for 200,000 requests.
func TestFoldsWhatRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		f := Fold(slog.NewJSONHandler(&out, nil), time.Minute, "decision")
		logger := slog.New(f)
		for i := range 126_000 {
			logger.Warn("learning", "error", errors.New("refused"), "repository", strconv.Itoa(i))
		}
		expect(t, out.take(t), "learning refused 0")
		time.Sleep(time.Minute)
		expect(t, out.take(t), "learning refused 125999")

		// It goes on, then it is over: the last ones are told, and no more.
		logger.Warn("learning", "error", "a")
		logger.Warn("learning", "error", "b")
		expect(t, out.take(t))
		time.Sleep(time.Minute)
		expect(t, out.take(t), "learning b 2")
		time.Sleep(time.Hour)
		expect(t, out.take(t))
		logger.Warn("learning", "error", "again")
		expect(t, out.take(t), "learning again 0")
		f.Close()
	})
}

func TestFoldsEachFaultByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		f := Fold(slog.NewJSONHandler(&out, nil), time.Minute, "decision")
		logger := slog.New(f)
		for range 3 {
			logger.Warn("failed")
			logger.Error("failed")
			logger.Warn("failed", "registry", "a")
			logger.With("registry", "b").Warn("failed")
		}
		expect(t, out.take(t), "failed  0", "failed  0", "faileda  0", "failedb  0")
		f.Close() // what is kept is not lost
		got := out.take(t)
		slices.Sort(got)
		expect(t, got, "failed  2", "failed  2", "faileda  2", "failedb  2")
		logger.Warn("failed") // by what stops after it
		logger.Warn("failed")
		expect(t, out.take(t), "failed  0", "failed  0")
	})
}

// TestNeverFolds: an audit needs every decision, that of an outage too.
func TestNeverFolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		f := Fold(slog.NewJSONHandler(&out, nil), time.Minute, "decision")
		logger := slog.New(f)
		for range 3 {
			logger.Error("decision")
			logger.Info("refreshed")
		}
		expect(t, out.take(t), "decision  0", "refreshed  0", "decision  0", "refreshed  0", "decision  0", "refreshed  0")
		f.Close()
	})
}

func (s *faults) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.faults)
}

// TestFaultsAreBounded: messages that differ each time do not fill memory, nor
// the log.
func TestFaultsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		f := Fold(slog.NewJSONHandler(&out, nil), time.Minute)
		logger := slog.New(f)
		for i := range 10 * maxFaults {
			logger.Warn(strconv.Itoa(i))
		}
		if n := f.shared.size(); n > maxFaults+1 {
			t.Errorf("%d faults are remembered, want %d at most", n, maxFaults+1)
		}
		if n := len(out.take(t)); n != maxFaults+1 {
			t.Errorf("%d lines, want %d", n, maxFaults+1)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := f.shared.size(); n != 0 {
			t.Errorf("%d faults are remembered that are over", n)
		}
		f.Close()
	})
}

// TestFoldsAtOnce: from many goroutines no line is lost or counted twice.
func TestFoldsAtOnce(t *testing.T) {
	var out lines
	f := Fold(slog.NewJSONHandler(&out, nil), time.Millisecond)
	logger := slog.New(f)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 1000 {
				logger.Warn("failed")
			}
		})
	}
	writers.Wait()
	f.Close()
	total := 0
	for decoder := json.NewDecoder(&out.b); decoder.More(); {
		line := struct{ Repeated int }{}
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		total += max(1, line.Repeated)
	}
	if total != 8000 {
		t.Errorf("%d lines are accounted for, want 8000", total)
	}
}
