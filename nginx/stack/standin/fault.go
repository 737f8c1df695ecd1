package standin

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Fault is a way in which the original can fail. Exactly one of Hang, Reset,
// Status, Serve, and Truncate determines the answer; without any, the request is
// served as usual, after Delay.
type Fault struct {
	// Match selects the requests; nil for all.
	Match func(*http.Request) bool
	// Times is how many requests it affects; 0 for all until ClearFaults.
	Times int
	// Delay comes before the answer.
	Delay time.Duration
	// Hang gives no answer until the client leaves, ClearFaults, or Close.
	Hang bool
	// Reset closes the connection without an answer.
	Reset bool
	// Truncate serves the request as usual, but closes the connection in the
	// middle of the body.
	Truncate bool
	// Status, Header and Body are the answer. A Body without a Content-Type
	// is sent as text. Echo in a Header or in Body becomes the request's
	// Authorization.
	Status int
	Header http.Header
	Body   string
	// Serve answers, where the answer depends on the request.
	Serve http.HandlerFunc
}

// Echo stands for the request's Authorization in a Fault's answer, for originals
// that repeat what they were sent.
const Echo = "{authorization}"

// Path is a Match for requests of one path, such as "/v2/".
func Path(path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.URL.Path == path }
}

type faults struct {
	mu       sync.Mutex
	list     []*Fault
	released chan struct{} // closed by clear
}

func (f *faults) add(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, &fault)
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
	close(f.released)
	f.released = make(chan struct{})
}

// take finds the first fault that matches r, and uses up one of its times.
func (f *faults) take(r *http.Request) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.list {
		if fault.Match != nil && !fault.Match(r) {
			continue
		}
		hit := *fault
		if fault.Times > 0 {
			if fault.Times--; fault.Times == 0 {
				f.list = append(f.list[:i:i], f.list[i+1:]...)
			}
		}
		return hit, true
	}
	return Fault{}, false
}

// apply answers as the fault says, and reports whether it did.
func (f *faults) apply(w http.ResponseWriter, r *http.Request, fault Fault) bool {
	if fault.Delay > 0 && !f.wait(r, time.After(fault.Delay)) {
		return true
	}
	switch {
	case fault.Hang:
		f.wait(r, nil)
		panic(http.ErrAbortHandler)
	case fault.Reset:
		panic(http.ErrAbortHandler)
	case fault.Status != 0:
		answer(w, r, fault)
		return true
	case fault.Serve != nil:
		fault.Serve(w, r)
		return true
	}
	return false
}

// wait returns true if the timer fires or the faults are cleared, false if the
// client has left.
func (f *faults) wait(r *http.Request, timer <-chan time.Time) bool {
	f.mu.Lock()
	released := f.released
	f.mu.Unlock()
	select {
	case <-timer:
		return true
	case <-released:
		return true
	case <-r.Context().Done():
		return false
	}
}

func answer(w http.ResponseWriter, r *http.Request, fault Fault) {
	echo := strings.NewReplacer(Echo, r.Header.Get("Authorization"))
	for name, values := range fault.Header {
		for _, value := range values {
			w.Header().Add(name, echo.Replace(value))
		}
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(fault.Status)
	_, _ = echo.WriteString(w, fault.Body)
}

// A cutter ends an answer in the middle of its body.
type cutter struct{ http.ResponseWriter }

func (c cutter) Write(body []byte) (int, error) {
	_, _ = c.ResponseWriter.Write(body[:len(body)/2])
	_ = http.NewResponseController(c.ResponseWriter).Flush() // otherwise the half stays in a buffer
	panic(http.ErrAbortHandler)
}
