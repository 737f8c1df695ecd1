// Package system looks up what both programs' configurations name on the machine:
// certificate authorities and groups.
package system

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// TLS returns a client configuration that trusts the CAs in caFile (PEM); the
// system's if it is empty.
func TLS(caFile string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: expected PEM certificates, found none", caFile)
	}
	return config, nil
}

// Group returns the id of a group, which is given by name or number.
func Group(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil && gid >= 0 {
		return gid, nil
	}
	found, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("group %s: %w", group, err)
	}
	gid, err := strconv.Atoi(found.Gid)
	if err != nil {
		return 0, fmt.Errorf("group %s: expected a numeric group id, found %q", group, found.Gid)
	}
	return gid, nil
}
