package web

import (
	"regexp"
	"strings"
)

// maxLink bounds the URL or the cursor of a next page, in bytes.
const maxLink = 4 << 10

// A link of the header Link: its URL and its parameters (RFC 8288, section 3).
var linkPattern = regexp.MustCompile(`<([^<>]*)>((?:\s*;\s*[A-Za-z*-]+\s*(?:=\s*(?:"[^"]*"|[^\s",;]*))?)*)`)

var relPattern = regexp.MustCompile(`(?i);\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]*))`)

// nextLink is the URL with the relation "next" of the header Link; empty for none.
func nextLink(headers []string) string {
	for _, header := range headers {
		if len(header) > 4*maxLink {
			continue
		}
		for _, link := range linkPattern.FindAllStringSubmatch(header, -1) {
			rel := relPattern.FindStringSubmatch(link[2])
			if rel == nil {
				continue
			}
			for relation := range strings.FieldsSeq(rel[1] + rel[2]) {
				if strings.EqualFold(relation, "next") {
					return link[1]
				}
			}
		}
	}
	return ""
}
