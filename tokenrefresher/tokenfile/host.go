package tokenfile

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A host name (RFC 1123, section 2.1) in lower case. nginx uses it at run time as
// its upstream and SNI name, so nothing else may pass.
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

const maxHostName = 253

// CheckHost returns nil if host is a host name in lower case (or an IPv4
// address), with a port only if that is not 443.
func CheckHost(host string) error {
	name, port, found := strings.Cut(host, ":")
	if len(name) > maxHostName || !hostName.MatchString(name) {
		return fmt.Errorf("host: expected a host name in lower case, found %.300q", host)
	}
	if !found {
		return nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || strconv.FormatUint(number, 10) != port {
		return fmt.Errorf("host: expected a port from 1 to 65535 after the colon, found %.300q", host)
	}
	if number == 443 {
		return fmt.Errorf("host: expected the port only if it is not 443, found %.300q", host)
	}
	return nil
}
