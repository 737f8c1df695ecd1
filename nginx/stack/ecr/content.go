package ecr

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	indexType  = "application/vnd.oci.image.index.v1+json"
	emptyIndex = `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[]}`
)

func (s *Server) serveManifest(w http.ResponseWriter, r *http.Request, repository, reference string) {
	resp, err := s.opts.Backend.do(r, r.Method, "/v2/"+repository+"/manifests/"+reference)
	if err != nil {
		internalError(w)
		return
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNotModified:
		copyHeaders(w.Header(), resp.Header, "Content-Type", "Content-Length", "Docker-Content-Digest", "Etag")
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // a client that has left needs no error
	case http.StatusNotFound:
		digest, tag := "null", reference
		if strings.Contains(reference, ":") {
			digest, tag = reference, "null"
		}
		s.notFound(w, r, repository, "MANIFEST_UNKNOWN",
			fmt.Sprintf("The image with imageId {imageDigest:'%s', imageTag:'%s'}", digest, tag))
	default:
		writeError(w, http.StatusBadRequest, "MANIFEST_INVALID", "Invalid parameter at 'imageIds' failed to satisfy constraint")
	}
}

// serveBlob answers HEAD itself and redirects GET to the bucket, which judges ranges and
// conditions.
func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request, repository, digest string) {
	plain := r.Clone(r.Context())
	plain.Header = http.Header{}
	resp, err := s.opts.Backend.do(plain, http.MethodHead, "/v2/"+repository+"/blobs/"+digest)
	if err != nil {
		internalError(w)
		return
	}
	defer resp.Body.Close() //nolint:errcheck // a HEAD has none
	if resp.StatusCode != http.StatusOK {
		s.notFound(w, r, repository, "BLOB_UNKNOWN", fmt.Sprintf("The layer with digest '%s'", digest))
		return
	}
	w.Header().Set("Docker-Content-Digest", digest)
	if r.Method == http.MethodHead {
		copyHeaders(w.Header(), resp.Header, "Content-Type", "Content-Length")
		w.WriteHeader(http.StatusOK)
		return
	}
	s.mu.Lock()
	expires := s.urlExpiry
	s.mu.Unlock()
	key := s.store(object{repository, digest})
	location, err := s.presign(http.MethodGet, s.Bucket.Addr(), "/"+s.bucketPrefix()+key, expires, s.opts.Now())
	if err != nil {
		internalError(w)
		return
	}
	w.Header().Set("Location", location)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// serveReferrers answers from the specification's fallback tag, since the backend
// registry is older than the referrers API.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
func (s *Server) serveReferrers(w http.ResponseWriter, r *http.Request, repository, digest string) {
	index := r.Clone(r.Context())
	index.Header = http.Header{"Accept": {indexType}} // the backend requires it, but clients need not send it
	resp, err := s.opts.Backend.do(index, http.MethodGet, "/v2/"+repository+"/manifests/"+strings.Replace(digest, ":", "-", 1))
	if err != nil {
		internalError(w)
		return
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if resp.StatusCode == http.StatusOK {
		copyHeaders(w.Header(), resp.Header, "Content-Length")
		w.Header().Set("Content-Type", indexType)
		_, _ = io.Copy(w, resp.Body) // a client that has left needs no error
		return
	}
	if known, err := s.tags(r, repository); err != nil {
		internalError(w)
	} else if known == nil {
		s.notFound(w, r, repository, "", "")
	} else {
		writeText(w, http.StatusOK, indexType, emptyIndex)
	}
}

// notFound answers with code if the repository exists, otherwise with NAME_UNKNOWN.
// Both texts name the account, like the original's.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request, repository, code, what string) {
	known, err := s.tags(r, repository)
	switch {
	case err != nil:
		internalError(w)
	case known == nil:
		writeError(w, http.StatusNotFound, "NAME_UNKNOWN",
			fmt.Sprintf("The repository with name '%s' does not exist in the registry with id '%s'", repository, s.opts.Account))
	default:
		writeError(w, http.StatusNotFound, code,
			fmt.Sprintf("%s does not exist within the repository with name '%s' in the registry with id '%s'", what, repository, s.opts.Account))
	}
}

// tags returns the repository's tags, or nil if there is no such repository.
func (s *Server) tags(r *http.Request, repository string) ([]string, error) {
	plain := r.Clone(r.Context())
	plain.Header = http.Header{}
	resp, err := s.opts.Backend.do(plain, http.MethodGet, "/v2/"+repository+"/tags/list")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	switch resp.StatusCode {
	case http.StatusNotFound:
		return nil, nil
	case http.StatusOK:
	default:
		return nil, fmt.Errorf("tags of %s: the backend answered %s, expected 200 or 404", repository, resp.Status)
	}
	list := struct {
		Tags []string `json:"tags"`
	}{}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("tags of %s: %w", repository, err)
	}
	if list.Tags == nil {
		return []string{}, nil
	}
	return list.Tags, nil
}

func internalError(w http.ResponseWriter) {
	writeText(w, http.StatusInternalServerError, "text/plain; charset=utf-8", "Internal Server Error\n")
}
