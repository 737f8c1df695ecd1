package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	with := func(name, keys string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("registries: [{name: main, file: /run/main.json, "+keys+"}]"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const example = "tokenrefresher.example.yaml"
	tests := []struct {
		args      []string
		environ   []string
		want      string
		wantError string
	}{
		{args: []string{"version"}, want: "tokenrefresher, development, built with go1"},
		{args: []string{"check-config", "--config", example}, want: "the configuration is valid\n"},
		{args: []string{"check-config"}, wantError: "open /etc/tokenrefresher/tokenrefresher.yaml"},
		{args: []string{"check-config", "--config", ""}, wantError: "expected --config FILE"},
		{args: []string{"check-config", "--config", example}, environ: []string{"TOKENREFRESHER_MARGIN=1"}, wantError: "margin: expected a duration"},
		{args: []string{"check-config", "--config", example, "--backoff.max", "1"}, wantError: "backoff.max: expected a duration"},
		{args: []string{"check-config", "--config", example, "--control.group", "no-such-group"}, wantError: "control.group: group no-such-group"},
		{args: []string{"check-config", "--config", with("group", "group: no-such-group")}, wantError: "registries[0].group: group no-such-group"},
		{args: []string{"check-config", "--config", with("ca", "ca_file: /none.pem")}, wantError: "registries[0].ca_file: open /none.pem"},
		{args: []string{"--config", with("address", ""), "--private.address", "192.0.2.1:1"}, wantError: "private.address: listen tcp"},
		{args: []string{"--config", with("socket", ""), "--private.address", "127.0.0.1:0", "--control.address", "unix:/none/a.sock"}, wantError: "control.address: "},
		{args: []string{"extra"}, wantError: `unknown command "extra"`},
		{args: []string{"--help"}, want: "--backoff.max"},
		{args: []string{"--help"}, want: "registry_id    ecr: account that owns the registry"},
		{args: []string{"status", "--help"}, want: "Exits with 1 if"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.args), func(t *testing.T) {
			var stdout bytes.Buffer
			err := run(t.Context(), test.args, test.environ, &stdout, io.Discard)
			if test.wantError == "" && err != nil || test.wantError != "" && (err == nil || !strings.Contains(err.Error(), test.wantError)) {
				t.Errorf("error %v, want %q", err, test.wantError)
			}
			if !strings.Contains(stdout.String(), test.want) {
				t.Errorf("printed %q, want %q", stdout.String(), test.want)
			}
		})
	}
}
