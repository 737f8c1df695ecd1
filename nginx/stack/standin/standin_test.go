package standin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

func start(t *testing.T, opts standin.Options) *standin.Server {
	t.Helper()
	s, err := standin.Start(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "served")
	}), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// get returns status and body, or status 0 and the error's text.
func get(ctx context.Context, url string) (int, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults []standin.Fault
		paths  []string
		want   []int
	}{
		{"none", nil, []string{"/a"}, []int{200}},
		{"status until cleared", []standin.Fault{{Status: 503}}, []string{"/a", "/a"}, []int{503, 503}},
		{"status once", []standin.Fault{{Status: 503, Times: 1}}, []string{"/a", "/a"}, []int{503, 200}},
		{"one path", []standin.Fault{{Status: 429, Match: standin.Path("/a")}}, []string{"/b", "/a"}, []int{200, 429}},
		{"one after the other", []standin.Fault{{Status: 500, Times: 1}, {Status: 502, Times: 1}}, []string{"/", "/", "/"}, []int{500, 502, 200}},
		{"reset", []standin.Fault{{Reset: true, Times: 1}}, []string{"/a?reset", "/a"}, []int{200, 200}}, // the transport retries a reset GET on a used connection
		{"delay alone serves", []standin.Fault{{Delay: time.Millisecond}}, []string{"/a"}, []int{200}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, standin.Options{})
			if status, _ := get(t.Context(), s.URL()+"/warm"); status != 200 {
				t.Fatalf("before any fault: status %d", status)
			}
			for _, f := range tt.faults {
				s.Inject(f)
			}
			var got []int
			for _, p := range tt.paths {
				status, _ := get(t.Context(), s.URL()+p)
				got = append(got, status)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("statuses %v, want %v", got, tt.want)
			}
		})
	}
}

func TestResetClosesWithoutAnAnswer(t *testing.T) {
	s := start(t, standin.Options{})
	s.Inject(standin.Fault{Reset: true})
	if status, text := get(t.Context(), s.URL()); status != 0 || !strings.Contains(text, "EOF") {
		t.Errorf("status %d %q, want an EOF", status, text)
	}
}

func TestServeAnswersByTheRequest(t *testing.T) {
	s := start(t, standin.Options{})
	s.Inject(standin.Fault{Times: 1, Serve: func(w http.ResponseWriter, r *http.Request) { http.Error(w, r.URL.Path, http.StatusGone) }})
	if status, body := get(t.Context(), s.URL()+"/a"); status != http.StatusGone || body != "/a\n" {
		t.Errorf("%d %q, want a 410 that names the path", status, body)
	}
	if status, body := get(t.Context(), s.URL()+"/a"); status != 200 || body != "served" {
		t.Errorf("afterwards: %d %q", status, body)
	}
}

func TestTruncateCutsTheBody(t *testing.T) {
	s := start(t, standin.Options{})
	s.Inject(standin.Fault{Truncate: true, Times: 1})
	resp, err := http.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if body, err := io.ReadAll(resp.Body); string(body) != "ser" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("body %q, %v, want half of it and an unexpected EOF", body, err)
	}
	if status, body := get(t.Context(), s.URL()); status != 200 || body != "served" {
		t.Errorf("afterwards: %d %q", status, body)
	}
}

func TestHangEndsWithClearFaults(t *testing.T) {
	s := start(t, standin.Options{})
	s.Inject(standin.Fault{Hang: true})
	done := make(chan int)
	go func() {
		status, _ := get(context.Background(), s.URL())
		done <- status
	}()
	for s.Received() == 0 {
		time.Sleep(time.Millisecond)
	}
	select {
	case status := <-done:
		t.Fatalf("answered %d while hanging", status)
	case <-time.After(50 * time.Millisecond):
	}
	s.ClearFaults()
	<-done
	if status, body := get(t.Context(), s.URL()); status != 200 || body != "served" {
		t.Errorf("after ClearFaults: %d %q", status, body)
	}
}

func TestHangEndsWithTheClient(t *testing.T) {
	s := start(t, standin.Options{})
	s.Inject(standin.Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if status, text := get(ctx, s.URL()); status != 0 || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("status %d %q, want the deadline", status, text)
	}
}

func TestRecords(t *testing.T) {
	s := start(t, standin.Options{Record: 2})
	for _, p := range []string{"/1", "/2", "/3/%2e%2E//x?y=%20", "/4", "/5//"} {
		get(t.Context(), s.URL()+p)
	}
	var uris []string
	for _, r := range s.Requests() {
		uris = append(uris, r.Method+" "+r.URI+" "+r.Host)
	}
	if want := []string{"GET /4 " + s.Addr(), "GET /5// " + s.Addr()}; !reflect.DeepEqual(uris, want) {
		t.Errorf("recorded %q, want %q", uris, want)
	}
	if s.Received() != 5 || s.Connections() != 1 {
		t.Errorf("received %d on %d connections, want 5 on 1", s.Received(), s.Connections())
	}
	s.Forget()
	if len(s.Requests()) != 0 || s.Received() != 0 || s.Connections() != 0 {
		t.Error("Forget left something")
	}
}
