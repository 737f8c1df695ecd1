package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// explain prints a finding with the bytes that led to it, as few as possible, and adds
// them to the corpus.
func (f *front) explain(ctx context.Context, s settings, all []finding, stdout io.Writer) error {
	f.mu.Lock()
	f.stop = nil
	f.mu.Unlock()
	first := all[0]
	for _, one := range all { // the first that names its connection
		if one.sender != nil {
			first = one
			break
		}
	}
	fmt.Fprintf(stdout, "\nFOUND: %v\nauthsvc's log ends with:\n%s\n", first.err, f.stack.Log("authsvc"))
	if first.sender == nil {
		fmt.Fprintf(stdout, "No connection is known for it; -seed %d finds it again.\n", s.seed)
		return nil
	}
	first.sender.mu.Lock()
	last := first.sender.last
	first.sender.mu.Unlock()
	x := last[len(last)-1]
	for i := len(last) - 1; i >= 0; i-- {
		shorter, found, err := f.shrink(ctx, last[i])
		if err != nil {
			return err
		}
		if found != nil {
			shorter.about = fmt.Sprintf("Found: %v\n%s", found, last[i].about)
			return f.keep(s, shorter, stdout)
		}
	}
	x.about = fmt.Sprintf("Found: %v\n%s; alone it was not found again: it needs what the connection saw before", first.err, x.about)
	return f.keep(s, x, stdout)
}

// keep prints an exchange, and adds it to the corpus.
func (f *front) keep(s settings, x exchange, stdout io.Writer) error {
	fmt.Fprintf(stdout, "%s\n", x) // with exact bytes
	if s.plant.name != "" {
		fmt.Fprintf(stdout, "The hole %q was planted, so the corpus stays as it is.\n", s.plant.name)
		return nil
	}
	text := x.format(f.world.replacer(true))
	sum := sha256.Sum256([]byte(text))
	path := filepath.Join(s.corpus, fmt.Sprintf("found-%x.txt", sum[:4]))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("adding the finding to the corpus: %w", err)
	}
	fmt.Fprintf(stdout, "It is now %s: commit it with what mends it.\n", path)
	return nil
}
