// Package filesource writes customers into the files of a source of kind file.
package filesource

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"

	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// cost is bcrypt's for customers, as htpasswd -B has it: many are made in tests.
const cost = 5

// Files are the files of one source.
type Files struct {
	Users, Grants string // paths
}

// New returns files in a folder, which Write makes.
func New(dir string) Files {
	return Files{Users: filepath.Join(dir, "users.htpasswd"), Grants: filepath.Join(dir, "grants.yaml")}
}

// Source is the entry of authsvc's sources for the files.
func (f Files) Source(name string) map[string]any {
	return map[string]any{"name": name, "kind": "file", "users_file": f.Users, "grants_file": f.Grants}
}

// Write replaces both files. The customers are by their password; their e-mails are
// the users.
func (f Files) Write(customers map[string]vendorapi.Account) error {
	users := "# customers\n"
	grants := map[string]any{}
	for password, account := range customers {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
		if err != nil {
			return fmt.Errorf("hashing a customer's password: %w", err)
		}
		users += account.Email + ":" + string(hash) + "\n"
		grants[account.Email] = map[string]any{"grants": Grants(account)}
	}
	text, err := yaml.Marshal(grants)
	if err != nil {
		return err
	}
	for path, content := range map[string]string{f.Users: users, f.Grants: string(text)} {
		if err := replace(path, content); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file beside the old one and renames it.
func replace(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Grants are an account's licenses as authsvc's grants. They are never nil.
func Grants(account vendorapi.Account) []map[string]any {
	grants := []map[string]any{}
	for _, l := range account.Licenses {
		for _, r := range l.Releases {
			grant := map[string]any{"repository": r.Repository, "tags": r.Tags, "expires": nil, "license": l.ID, "withdrawn": l.Inactive}
			if !l.Expiration.IsZero() {
				grant["expires"] = l.Expiration.UTC().Format(time.RFC3339)
			}
			grants = append(grants, grant)
		}
	}
	return grants
}
