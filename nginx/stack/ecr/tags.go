package ecr

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

const (
	defaultTags = 100
	mostTags    = 1000
)

// serveTags pages like the original: 100 by default, 1000 at most, in no useful
// order, with an opaque cursor in an absolute Link.
func (s *Server) serveTags(w http.ResponseWriter, r *http.Request, repository string) {
	all, err := s.tags(r, repository)
	switch {
	case err != nil:
		internalError(w)
		return
	case all == nil:
		s.notFound(w, r, repository, "", "")
		return
	}
	query := r.URL.Query()
	n, message := pageSize(query)
	if message != "" {
		writeError(w, http.StatusMethodNotAllowed, "UNSUPPORTED", message)
		return
	}
	from, ok := s.cursor(repository, query.Get("last"))
	if !ok {
		writeError(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "Invalid parameter at 'NextToken' failed to satisfy constraint: 'Member must be a token of an earlier answer'")
		return
	}
	scramble(all)
	from = min(from, len(all))
	to := min(from+n, len(all))
	if to < len(all) {
		w.Header().Set("Link", fmt.Sprintf(`<https://%s/v2/%s/tags/list?last=%s&n=%d>; rel="next"`,
			s.host, repository, url.QueryEscape(s.cursorAt(repository, to)), n))
	}
	body, err := json.Marshal(map[string]any{"name": repository, "tags": all[from:to]})
	if err != nil {
		internalError(w)
		return
	}
	writeText(w, http.StatusOK, "application/json; charset=utf-8", string(body))
}

// pageSize returns n, or the original's error message about it.
// google/go-containerregistry #681, renovatebot/renovate #3800.
func pageSize(query url.Values) (n int, message string) {
	if !query.Has("n") {
		return defaultTags, ""
	}
	n, err := strconv.Atoi(query.Get("n"))
	switch {
	case err != nil || n < 1:
		return 0, "Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value greater than or equal to 1'"
	case n > mostTags:
		return 0, "Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to 1000'"
	}
	return n, ""
}

// cursorAt creates the opaque value of last. It is bound to the repository, so
// neither a tag nor a value from another list is accepted.
func (s *Server) cursorAt(repository string, from int) string {
	mark := fnv.New64a()
	_, _ = fmt.Fprintf(mark, "%s\x00%s\x00%d", s.opts.SecretAccessKey, repository, from) // writing to a hash never fails
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"nextToken":"%016x","from":%d}`, mark.Sum64(), from))
}

func (s *Server) cursor(repository, last string) (from int, ok bool) {
	if last == "" {
		return 0, true
	}
	raw, err := base64.StdEncoding.DecodeString(last)
	if err != nil {
		return 0, false
	}
	var value struct {
		From int `json:"from"`
	}
	if err := json.NewDecoder(strings.NewReader(string(raw))).Decode(&value); err != nil {
		return 0, false
	}
	return value.From, equal(last, s.cursorAt(repository, value.From))
}

// scramble puts tags into a stable order that is not alphabetical.
func scramble(tags []string) {
	key := func(tag string) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(tag)) // writing to a hash never fails
		return h.Sum64()
	}
	sort.Slice(tags, func(i, j int) bool { return key(tags[i]) < key(tags[j]) })
}
