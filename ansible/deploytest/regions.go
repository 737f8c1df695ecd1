package main

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// Where the registries of inventory.several.example are, besides eu, which is the first
// one of all other steps.
const (
	standbyAPI, standbyFront = "10.77.0.21", "10.77.0.22"
	toolsAPI, toolsFront     = "10.77.0.23", "10.77.0.24"
	partnerFront             = "10.77.0.25"

	standbyRegion = "us-east-1"
	toolsAccount  = "210987654321"
	toolsRegion   = "eu-central-1"
	partnerHost   = "registry.partner.example"
	partnerUser   = "robot"
)

// regions are those registries.
type regions struct {
	us, tools *ecr.Server
	partner   *standin.Server
	authority string // the certificate of partner's own, as PEM
}

// startRegions starts them. All have the same images, as if replicated.
func (w *world) startRegions(ctx context.Context) (err error) {
	script := ""
	for _, address := range []string{standbyAPI, standbyFront, toolsAPI, toolsFront, partnerFront} {
		script += "ip addr add " + address + "/24 dev " + bridge + "\n"
	}
	if _, err := sh(ctx, script); err != nil {
		return err
	}
	role := ecr.Options{AccessKeyID: roleKey, SecretAccessKey: roleSecret, SessionToken: roleSession}
	us, tools := role, role
	us.Region = standbyRegion
	tools.Account, tools.Region = toolsAccount, toolsRegion
	if w.regions.us, err = w.outside.StartECR(standbyAPI, standbyFront, us); err != nil {
		return err
	}
	if w.regions.tools, err = w.outside.StartECR(toolsAPI, toolsFront, tools); err != nil {
		return err
	}
	if err := w.startPartner(ctx); err != nil {
		return err
	}
	for name, address := range map[string]string{
		w.regions.us.Name(): standbyFront, ecr.APIHost(standbyRegion): standbyAPI,
		w.regions.tools.Name(): toolsFront, ecr.APIHost(toolsRegion): toolsAPI, partnerHost: partnerFront,
	} {
		if err := w.outside.DNS.Set(name, time.Second, address); err != nil {
			return err
		}
	}
	return nil
}

// startPartner starts a registry that is not ECR: with a user, a password, and a
// certificate of its own authority.
func (w *world) startPartner(ctx context.Context) error {
	dir := w.in("partner")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	authority, err := pki.New(dir)
	if err != nil {
		return err
	}
	certificate, err := authority.Issue("registry", partnerHost)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(authority.File)
	if err != nil {
		return err
	}
	w.regions.authority = string(text)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(partnerFront, "443"))
	if err != nil {
		return err
	}
	images := w.outside.Images()
	proxy := &httputil.ReverseProxy{Transport: images.Transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(images.URL)
		r.Out.SetBasicAuth(images.User, images.Password)
	}}
	w.regions.partner, err = standin.Start(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != partnerUser || subtle.ConstantTimeCompare([]byte(password), []byte(vaulted)) == 0 {
			http.Error(out, "unauthorized", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(out, r)
	}), standin.Options{
		TLS:      &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{certificate}},
		Listener: listener,
	})
	return err
}
