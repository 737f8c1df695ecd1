package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// search returns a line for each text that has a secret, as it is or in base64.
func search(texts map[string]string, secrets []string) []string {
	var found []string
	for _, place := range slices.Sorted(maps.Keys(texts)) {
		for _, secret := range secrets {
			for _, form := range forms(secret) {
				if i := strings.Index(texts[place], form); i >= 0 {
					line := strings.Count(texts[place][:i], "\n") + 1
					found = append(found, fmt.Sprintf("%s:%d has a secret", place, line))
					break
				}
			}
		}
	}
	return found
}

// forms are how a secret may look: as it is, and in base64 after any number of
// other bytes. Of base64, only what the secret alone determines is looked for.
func forms(secret string) []string {
	all := []string{secret}
	for before := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), secret...))
		from := (before*8 + 5) / 6 // the first characters contain bits of what is before
		all = append(all, text[from:len(text)-1])
	}
	return all
}
