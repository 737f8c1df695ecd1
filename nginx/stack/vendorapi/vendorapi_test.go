package vendorapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// Sources: K = Kloudless's documentation of lists, authorization and errors,
// F = known behavior of Kloudless, A = assumed, because it is not public.
func TestAPI(t *testing.T) {
	s, err := vendorapi.Start(vendorapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	s.SetAccount("one", vendorapi.Account{Email: "ann@acme.example", Licenses: []vendorapi.License{
		{ID: "lic_1", Expiration: end, Releases: []vendorapi.Release{{Repository: "acme/appliance", Tags: []string{"1.*", "latest"}}}},
	}})
	s.SetAccount("three", vendorapi.Account{Licenses: []vendorapi.License{{ID: "a"}, {ID: "b", Inactive: true}, {ID: "c"}}})
	s.SetAccount("none", vendorapi.Account{})
	s.SetRaw("garbage", "<html>")

	for _, tt := range []struct {
		name, source         string
		method, path, header string
		status               int
		want                 []string
		not                  []string
	}{
		{"no token", "K", "GET", "/v1/meta/licenses", "", 401, []string{`"status_code":401`, `"error_code":"unauthorized"`, `"message":"`, `"id":"`}, nil},
		{"unknown token", "F", "GET", "/v1/meta/licenses", "Bearer other", 401, nil, nil},
		{"another scheme", "F", "GET", "/v1/meta/licenses", "Basic one", 401, nil, nil},
		{"licenses", "A", "GET", "/v1/meta/licenses", "Bearer one", 200, []string{
			`"type":"object_list"`, `"api":"meta"`, `"page":1`,
			`{"id":"lic_1","type":"license","api":"meta","active":true,"expiration":"2027-01-01T00:00:00Z","docker_releases":[{"repository":"acme/appliance","tags":["1.*","latest"]}]}`,
		}, []string{"next_page"}},
		{"no licenses", "K", "GET", "/v1/meta/licenses", "Bearer none", 200, []string{`"objects":[]`}, []string{"next_page"}},
		{"first page", "K", "GET", "/v1/meta/licenses?page_size=2", "Bearer three", 200, []string{`"id":"a"`, `"id":"b"`, `"active":false`, `"next_page":2`, `"expiration":null`}, []string{`"id":"c"`}},
		{"last page", "K", "GET", "/v1/meta/licenses?page=2&page_size=2", "Bearer three", 200, []string{`"id":"c"`, `"page":2`}, []string{"next_page", `"id":"a"`}},
		{"page after the end", "F", "GET", "/v1/meta/licenses?page=3&page_size=2", "Bearer three", 404, []string{`"status_code":404`}, nil},
		{"page that is no number", "A", "GET", "/v1/meta/licenses?page=x", "Bearer three", 400, nil, nil},
		{"page size too large", "A", "GET", "/v1/meta/licenses?page_size=1001", "Bearer three", 400, nil, nil},
		{"developer", "A", "GET", "/v1/meta/developer", "Bearer one", 200, []string{`"type":"developer"`, `"email":"ann@acme.example"`}, nil},
		{"elsewhere", "K", "GET", "/v1/accounts", "Bearer one", 404, nil, nil},
		{"not below the base", "K", "GET", "/meta/licenses", "Bearer one", 404, nil, nil},
		{"writing", "A", "POST", "/v1/meta/licenses", "Bearer one", 405, nil, nil},
		{"garbage", "A", "GET", "/v1/meta/licenses", "Bearer garbage", 200, []string{"<html>"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := ask(t, tt.method, s.URL()+tt.path, tt.header)
			if status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			for _, want := range tt.want {
				if !strings.Contains(body, want) {
					t.Errorf("body %s lacks %s", body, want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(body, not) {
					t.Errorf("body %s has %s", body, not)
				}
			}
		})
	}

	s.RefuseWith(http.StatusForbidden)
	s.RemoveAccount("one")
	if status, _ := ask(t, "GET", s.URL()+"/v1/meta/licenses", "Bearer one"); status != 403 {
		t.Errorf("removed account: status %d, want 403", status)
	}
	s.SetLicenses("none", vendorapi.License{ID: "lic_new"})
	if _, body := ask(t, "GET", s.URL()+"/v1/meta/licenses", "Bearer none"); !strings.Contains(body, "lic_new") {
		t.Errorf("the added license is not in %s", body)
	}
}

func ask(t *testing.T, method, url, authorization string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
