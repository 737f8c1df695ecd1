package graph_test

import (
	"crypto/sha256"
	"fmt"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

func digest(name string) graph.Digest {
	d, ok := graph.ParseDigest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))))
	if !ok {
		panic("a digest is no digest")
	}
	return d
}
