package release

import (
	"crypto/sha256"
	"fmt"
)

// FileOf is a file with one line, and with the right sum if it is whole.
func FileOf(line string, whole bool) string {
	text := fileHeader + "\n" + line + "\n"
	sum := sha256.Sum256([]byte(text))
	if !whole {
		sum[0]++
	}
	return fmt.Sprintf("%s%x\n", text, sum)
}
