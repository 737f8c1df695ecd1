package content

import (
	"fmt"
	"os"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// Check checks what the configuration names on this machine.
func Check(c Config) error {
	if _, err := system.TLS(c.Origin.CAFile); err != nil {
		return fmt.Errorf("configuration: ca_file: %w", err)
	}
	if c.Listen.Group != "" {
		if _, err := system.Group(c.Listen.Group); err != nil {
			return fmt.Errorf("configuration: listen.group: %w", err)
		}
	}
	info, err := os.Stat(c.Folder)
	switch {
	case err != nil:
		return fmt.Errorf("configuration: folder: %w", err)
	case !info.IsDir():
		return fmt.Errorf("configuration: folder: expected a folder, found %s", c.Folder)
	}
	return nil
}
