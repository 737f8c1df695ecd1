package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeLinks: each README link into this repository leads to an existing file,
// and to an existing heading if it names one.
func TestReadmeLinks(t *testing.T) {
	links := 0
	for _, readme := range []string{"../../README.md", "../../authsvc/README.md", "../../authsvc/content/README.md", "../../tokenrefresher/README.md", "../README.md", "../../ansible/README.md"} {
		for _, m := range regexp.MustCompile(`(?s)\]\(([^)]*)\)`).FindAllStringSubmatch(withoutCode(readFile(t, readme)), -1) {
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			links++
			path, heading, named := strings.Cut(m[1], "#")
			file := filepath.Join(filepath.Dir(readme), path)
			if path == "" {
				file = readme
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %s: %v", readme, m[1], err)
			} else if named && !slices.Contains(anchors(readFile(t, file)), heading) {
				t.Errorf("%s: %s: no such heading", readme, m[1])
			}
		}
	}
	if links < 30 {
		t.Errorf("found %d links in the READMEs", links)
	}
}

// withoutCode drops code blocks and inline code.
func withoutCode(text string) string {
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```").ReplaceAllString(text, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(text, "")
}

// anchors returns the anchors that GitHub gives to headings.
func anchors(text string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutCode(text), -1) {
		kept := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(kept, " ", "-"))
	}
	return names
}
