package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// A hostile line is in the server block around the includes, or in the http block,
// where a fleet has it for its own sites.
type hostile struct {
	name string
	// http and server are lines of these blocks. DIR is a directory that nginx
	// can write to, ELSEWHERE the address of a server that records requests.
	http, server string
	// limited: it refuses some requests itself, on purpose.
	limited bool
}

// anywhere returns a test of lines in each of the blocks.
func anywhere(lines ...string) (tests []hostile) {
	for _, line := range lines {
		tests = append(tests, hostile{name: line, http: line}, hostile{name: line, server: line})
	}
	return tests
}

// hostiles are the directives known to open or break an auth_request, and
// everything that nginx/README.md promises to withstand.
func hostiles() []hostile {
	tests := anywhere(
		"error_page 401 403 =200 /ok.html;",
		"proxy_intercept_errors on; error_page 401 403 404 =200 /ok.html;",
		"error_page 500 502 503 504 =200 /ok.html;",
		"error_page 400 401 402 403 404 405 413 416 429 500 502 503 504 =200 @ok;",
		"recursive_error_pages on; error_page 401 403 404 503 /ok.html;",
		"recursive_error_pages off;",
		"satisfy any; allow 127.0.0.1; deny all;",
		`auth_basic "site"; auth_basic_user_file DIR/htpasswd;`,
		"auth_delay 2s;",
		`add_header X-Site site always; add_header Content-Type text/plain always;`,
		`add_header Docker-Distribution-Api-Version site always;`,
		"expires 1h;", "etag off; if_modified_since before;",
		"userid on; userid_name uid;",
		"proxy_set_header Authorization $http_authorization; proxy_set_header Host $host; proxy_set_header X-Real-IP 9.9.9.9;",
		"proxy_hide_header X-Ecr-Authorization; proxy_hide_header Docker-Content-Digest; proxy_hide_header Location;",
		"proxy_pass_header Server; proxy_pass_header X-Accel-Redirect; proxy_pass_header X-Amz-Request-Id;",
		"proxy_ignore_headers X-Accel-Redirect;",
		"proxy_pass_request_headers off;", "proxy_pass_request_body on;",
		"proxy_store on; proxy_store_access all:r;",
		"proxy_method POST;", `proxy_set_body "site";`, "proxy_http_version 1.0;",
		"proxy_redirect http:// https://;", "proxy_redirect off;",
		"proxy_cookie_domain localhost example.org; proxy_cookie_path / /x;",
		"proxy_buffering off;", "proxy_buffer_size 4k; proxy_buffers 4 4k; proxy_busy_buffers_size 8k; proxy_temp_file_write_size 8k;",
		"proxy_buffer_size 1m; proxy_buffers 2 1m; proxy_busy_buffers_size 1m; proxy_temp_file_write_size 1m;",
		"proxy_max_temp_file_size 1m;", "proxy_request_buffering off;", "proxy_ignore_client_abort on;", "proxy_force_ranges on;",
		"proxy_next_upstream error timeout http_403 http_404 http_500 non_idempotent;", "proxy_bind 127.0.0.2;",
		"proxy_connect_timeout 1ms; proxy_read_timeout 1ms; proxy_send_timeout 1ms;",
		"proxy_ssl_verify off; proxy_ssl_server_name off; proxy_ssl_name evil.example; proxy_ssl_protocols TLSv1;",
		"proxy_ssl_trusted_certificate DIR/other.pem;", "resolver 127.0.0.1:1;", "resolver_timeout 1ms;",
		"client_max_body_size 1;", "client_body_in_file_only on;", "client_body_in_single_buffer on;", "client_body_buffer_size 1k;",
		"gzip on; gzip_min_length 1; gzip_types *; gzip_proxied any;", "gunzip on;", "ssi on; ssi_types *;",
		`sub_filter "digest" "site"; sub_filter_once off; sub_filter_types *;`,
		"add_before_body /ok.html; add_after_body /ok.html; addition_types *;",
		"charset utf-8; charset_types *;", "override_charset on;", "slice 1k;",
		"log_subrequest on;", "default_type text/html;", "types { text/html 0 1.0; }",
		"root /etc;", "index index.html;", "autoindex on;", "dav_methods PUT DELETE MKCOL COPY MOVE; dav_access all:rw;",
		"open_file_cache max=100; open_file_cache_errors on;", "aio threads;", "directio 1;",
		"keepalive_timeout 0;", "lingering_close off;", "chunked_transfer_encoding off;", "absolute_redirect on; server_name_in_redirect on;",
		"limit_rate 10m;", "proxy_limit_rate 10m;", "server_tokens on;", "merge_slashes off;", "underscores_in_headers on; ignore_invalid_headers off;",
		"reset_timedout_connection on;", "send_timeout 5s;", "client_header_buffer_size 8k; large_client_header_buffers 8 64k;", "postpone_output 0; tcp_nodelay off;",
		"proxy_headers_hash_max_size 512; proxy_headers_hash_bucket_size 64;", "max_ranges 0;",
		"proxy_no_cache 0; proxy_cache_bypass 0; proxy_cache_methods GET HEAD;",
	)
	cache := "proxy_cache_path DIR/cache keys_zone=site:1m; "
	cached := "proxy_cache site; proxy_cache_valid any 1h; proxy_cache_key all; proxy_cache_use_stale error timeout updating http_403 http_404 http_429 http_500 http_502 http_503 http_504; proxy_ignore_headers Cache-Control Expires Set-Cookie Vary; proxy_cache_lock on;"
	return append(tests,
		hostile{name: "cache in http", http: cache + cached},
		hostile{name: "cache in server", http: cache, server: cached},
		hostile{name: "auth_request", server: "auth_request /ok.html;"},
		hostile{name: "mirror", server: "mirror /mirror; location = /mirror { internal; proxy_pass http://ELSEWHERE; }"},
		hostile{name: "rewrite", server: "rewrite ^/v2/acme/(.*)$ /v2/other/$1;"},
		hostile{name: "rewrite break", server: "rewrite ^/v2/(.*)$ /v2/$1 break;"},
		hostile{name: "set", server: `set $registry_target evil.example; set $registry_authorization forged; set $registry_decision 200; set $registry_status 200; set $registry_host evil.example; set $registry_error_code X;`},
		hostile{name: "regular expression", server: `location ~ \.html$ { return 200 site; } location ~* ^/V2/ { return 200 site; } location ~ /manifests/ { return 200 site; }`},
		hostile{name: "try_files", server: "try_files $uri /ok.html;"},
		hostile{name: "error_page of all", server: "error_page 300 301 302 303 307 308 400 401 402 403 404 405 408 413 416 429 500 501 502 503 504 507 =200 /ok.html; proxy_intercept_errors on;"},
		hostile{name: "limit_req", http: "limit_req_zone $server_name zone=site:1m rate=1r/m;", server: "limit_req zone=site; limit_req_status 429;", limited: true},
		hostile{name: "limit_req with nginx's status", http: "limit_req_zone $server_name zone=site:1m rate=1r/m; limit_req zone=site;", limited: true},
		hostile{name: "limit_conn", http: "limit_conn_zone $server_name zone=site:1m; limit_conn site 1;"},
		hostile{name: "deny", server: "deny all;", limited: true},
		hostile{name: "all at once", http: cache + cached + " gzip on; gzip_types *; ssi on; log_subrequest on;",
			server: "proxy_intercept_errors on; error_page 401 403 404 502 503 504 =200 /ok.html; recursive_error_pages on; satisfy any; allow all; add_header X-Site site always; proxy_set_header Host site; client_max_body_size 1; default_type text/html; proxy_buffer_size 4k; proxy_buffers 4 4k; proxy_busy_buffers_size 8k;"},
	)
}

// TestInsideAnyServer: the includes keep their promises inside any server block.
func TestInsideAnyServer(t *testing.T) {
	insideAnyServer(t, start(t, stack.Options{Tokenrefresher: quick}), hostiles(), func(s *stack.Stack, _ string) {
		if a := get(t, s, "/v2/acme/appliance/blobs/"+layerOf(t, "acme/appliance:1.0")); a.status != 307 || !strings.HasPrefix(a.header.Get("Location"), s.ECR.Bucket.URL()) {
			t.Errorf("blob: status %d to %q, want 307", a.status, a.header.Get("Location"))
		}
		unavailable := request{method: "GET", uri: manifest}
		s.ECR.Front.Inject(standin.Fault{Status: 500, Body: leaky})
		wantError(t, unavailable, send(t, s, unavailable), 503, "UNAVAILABLE")
		s.ECR.Front.ClearFaults()
	})
}

// TestFilesInsideAnyServer: so do those that serve files, of a layer that is cold and of
// one that is warm.
func TestFilesInsideAnyServer(t *testing.T) {
	inServer := slices.DeleteFunc(hostiles(), func(h hostile) bool { return h.server == "" })
	insideAnyServer(t, withContent(t, stack.Options{Tokenrefresher: quick}), inServer, func(s *stack.Stack, name string) {
		cold := "acme/cold:" + strings.TrimPrefix(sha256Of(name), "sha256:")
		push(t, s, cold)
		layer := layerOf(t, cold)
		for _, state := range []string{"cold", "warm"} {
			wantContent(t, state, send(t, s, request{uri: "/v2/acme/cold/blobs/" + layer, header: []string{"Accept-Encoding: gzip"}}), layer, "application/octet-stream")
			waitForFile(t, file(s, "blobs", layer, ""))
		}
		if n := s.ECR.Bucket.Received(); n != 1 {
			t.Errorf("%s: the storage was asked %d times, want 1", name, n)
		}
	})
}

// insideAnyServer tests includes in each of the blocks. blobs checks how they serve.
func insideAnyServer(t *testing.T, s *stack.Stack, tests []hostile, blobs func(s *stack.Stack, name string)) {
	digest := push(t, s, "acme/appliance:1.0")
	s.ECR.SetTokenSize(12 << 10)
	s.ECR.InvalidateTokens()
	if a := get(t, s, manifest); a.status != 200 {
		t.Fatalf("status %d, want 200", a.status)
	}
	elsewhere, err := standin.Start(http.NotFoundHandler(), standin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = elsewhere.Close() })
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "htpasswd"), "site:{PLAIN}site\n")
	writeFile(t, filepath.Join(dir, "ok.html"), "site\n")
	authority, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "other.pem"), string(authority))
	values := strings.NewReplacer("DIR", dir, "ELSEWHERE", elsewhere.Addr())
	for _, test := range tests {
		block := "http"
		if test.server != "" {
			block = "server"
		}
		t.Run(block+": "+test.name, func(t *testing.T) {
			elsewhere.Forget()
			err := s.ReconfigureNginx(t.Context(), func(o *stack.Options) {
				o.HTTP = values.Replace(test.http)
				// A page of the site that answers 200, the target of its error pages.
				o.Server = fmt.Sprintf("location = /ok.html { auth_request off; root %s; } location @ok { return 200 site; }\n%s", dir, values.Replace(test.server))
			})
			if err != nil {
				t.Fatal(err)
			}
			if test.limited {
				wantLimited(t, s)
				return
			}
			wantIntact(t, s, digest)
			blobs(s, test.name)
			wantOutage(t, s)
			for _, r := range elsewhere.Requests() {
				t.Errorf("somebody else was asked %s with Authorization %q", r.URI, r.Header.Get("Authorization"))
			}
		})
	}
}

// wantIntact checks the main promises: what is allowed is served unchanged, and
// everything else is refused in the registry's format.
func wantIntact(t *testing.T, s *stack.Stack, digest string) {
	t.Helper()
	s.Forget()
	served := send(t, s, request{uri: manifest, header: []string{"Accept-Encoding: gzip"}})
	if got := sha256Of(served.body); served.status != 200 || got != digest || served.header.Get("Docker-Content-Digest") != digest {
		t.Errorf("manifest: status %d, %s with digest %q, want %s", served.status, got, served.header.Get("Docker-Content-Digest"), digest)
	}
	if got := served.header.Get("Content-Type"); got != "application/vnd.docker.distribution.manifest.v2+json" {
		t.Errorf("manifest: Content-Type %q", got)
	}
	wantNoLeak(t, "manifest", served)
	wantRequestID(t, "manifest", served)
	wantHealth(t, s, 200, "ok\n")
	if a := send(t, s, request{uri: manifest, body: "a body"}); a.status != 200 {
		t.Errorf("manifest, asked for with a body: status %d", a.status)
	}
	tags := get(t, s, "/v2/acme/appliance/tags/list")
	if tags.status != 200 || strings.TrimSpace(tags.body) != `{"name":"acme/appliance","tags":["1.0"]}` || tags.header.Get("Content-Type") != "application/json" {
		t.Errorf("tags: %d %q %v", tags.status, tags.body, tags.header)
	}
	wantNoLeak(t, "tags", tags)
	if a := get(t, s, "/v2/"); a.status != 200 || a.body != "{}" || a.header.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
		t.Errorf("ping: %d %q %v", a.status, a.body, a.header)
	}
	for _, sent := range s.ECR.Front.Requests() {
		if sent.Method != "GET" || strings.Contains(sent.Header.Get("Authorization"), basic(email, secret)) || sent.Host != s.ECR.Name() || !strings.HasPrefix(sent.URI, "/v2/acme/") {
			t.Errorf("the registry was asked %s %s as %s", sent.Method, sent.URI, sent.Host)
		}
	}
	asked := s.ECR.Front.Received()
	for _, refused := range []struct {
		request
		status int
		code   string
	}{
		{request{uri: manifest, anonymous: true}, 401, "UNAUTHORIZED"},
		{request{uri: manifest, user: email, password: "wrong"}, 401, "UNAUTHORIZED"},
		{request{uri: "/v2/", user: "site", password: "site"}, 401, "UNAUTHORIZED"},
		{request{uri: "/v2/other/appliance/manifests/1.0"}, 404, "NAME_UNKNOWN"},
		{request{uri: "/v2/acme/appliance/manifests/.html"}, 400, "TAG_INVALID"},
		{request{uri: "/v2/acme/appliance/tags/list", anonymous: true}, 401, "UNAUTHORIZED"},
		{request{uri: "/v2/_catalog", user: email, password: "wrong"}, 401, "UNAUTHORIZED"},
		{request{uri: "/v2/other/appliance/tags/list"}, 404, "NAME_UNKNOWN"},
		{request{method: "POST", uri: "/v2/_catalog", body: "x"}, 405, "UNSUPPORTED"},
		{request{method: "PUT", uri: manifest, body: "an upload"}, 405, "UNSUPPORTED"},
		{request{method: "DELETE", uri: manifest}, 405, "UNSUPPORTED"},
	} {
		wantError(t, refused.request, send(t, s, refused.request), refused.status, refused.code)
	}
	if n := s.ECR.Front.Received() - asked; n != 0 {
		t.Errorf("%d refused requests reached the registry", n)
	}
}

// wantOutage: without authsvc nothing is served, and nobody is refused.
func wantOutage(t *testing.T, s *stack.Stack) {
	t.Helper()
	unavailable := request{method: "GET"}
	if err := s.KillAuthsvc(); err != nil {
		t.Fatal(err)
	}
	wantHealth(t, s, 503, "authsvc\n")
	for _, uri := range []string{manifest, "/v2/acme/appliance/blobs/" + layerOf(t, "acme/appliance:1.0"), "/v2/", "/v2/_catalog", "/v2/acme/appliance/tags/list"} {
		unavailable.uri = uri
		wantError(t, unavailable, send(t, s, unavailable), 503, "UNAVAILABLE")
	}
	if err := s.StartAuthsvc(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// wantLimited: a limit of the site applies, in the registry's format.
func wantLimited(t *testing.T, s *stack.Stack) {
	t.Helper()
	limited := 0
	for range 4 {
		for _, uri := range []string{manifest, "/v2/"} {
			a := get(t, s, uri)
			if a.status == 200 {
				continue
			}
			limited++
			code, ok := map[int]string{429: "TOOMANYREQUESTS", 503: "UNAVAILABLE", 403: "DENIED"}[a.status]
			if !ok {
				t.Errorf("%s: status %d", uri, a.status)
			}
			wantError(t, request{uri: uri}, a, a.status, code)
		}
	}
	if limited < 6 {
		t.Errorf("%d of 8 requests were limited", limited)
	}
}
