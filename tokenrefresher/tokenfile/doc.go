// Package tokenfile is the file in which tokenrefresher stores a registry's token
// for authsvc: its format (read.go), how it is replaced (write.go), and how a change
// is noticed (watch.go).
//
// One file holds the token of one registry, as one JSON object:
//
//	{
//	  "version":   1,
//	  "host":      "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
//	  "token":     "QVdTOi4uLg==",
//	  "expiresAt": "2026-11-24T06:00:00Z",
//	  "fetchedAt": "2026-11-23T18:00:00Z"
//	}
//
// host is the registry's name, with a port only if that is not 443. token is the
// base64 (RFC 4648, section 4) of user:password: what follows "Basic " in an
// Authorization header (RFC 7617). Times are RFC 3339. A token without expiresAt
// never expires. fetchedAt identifies the token: of two tokens for one file, the
// newer one has the later fetchedAt.
//
// The file is replaced by a rename, so a reader sees the old file or the new one,
// never a part. If another program leaves a partial file, it does not parse, and a
// Watcher keeps what it had. A killed writer leaves a temporary file next to it,
// which the next start or write removes.
package tokenfile
