package settings

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// credentialsDirectory begins the path of a secret that systemd passes
// (LoadCredential= in systemd.exec(5)): only the unit knows where it is.
const credentialsDirectory = "$CREDENTIALS_DIRECTORY/"

// A name without a slash, and not "..": no other folder.
var credentialPattern = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$`)

// SecretFile reads the path of a file with a secret: an absolute path, or
// $CREDENTIALS_DIRECTORY/NAME for a systemd credential. Open it by SecretPath.
func (r *Reader) SecretFile(key string) string {
	s, _ := r.Get(key).(string)
	name, ok := strings.CutPrefix(s, credentialsDirectory)
	if !ok {
		return r.Path(key)
	}
	if !credentialPattern.MatchString(name) {
		r.Wrong(key, "the name of a credential after "+credentialsDirectory)
	}
	return s
}

// SecretPath returns where a file that SecretFile read is. If systemd passes no
// credentials, the path stays as configured, so that an error names what is missing.
func SecretPath(path string) string {
	name, ok := strings.CutPrefix(path, credentialsDirectory)
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); ok && dir != "" {
		return filepath.Join(dir, name)
	}
	return path
}
