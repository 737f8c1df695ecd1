package registry

// A Pinned is the manifest that a request names, by its digest; empty if there is none.
type Pinned struct {
	Digest string
	// Schema1 says whether the manifest is one of Docker's schema 1, which is never guessed.
	Schema1 bool
	// Stale says that the registry fails, and that this is what it said last.
	Stale bool
}
