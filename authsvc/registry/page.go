package registry

import (
	"net/url"
	"slices"
	"strconv"
)

// A Page is the part of a list that a client requests (Distribution
// Specification 1.1, "Listing Tags").
type Page struct {
	// N is the maximum number of entries; negative for all.
	N int
	// Last is the entry after which the page begins, in the list's order; it
	// need not be in the list. Empty for the beginning.
	Last string
}

// maxPage is the largest N. No list has more entries.
const maxPage = 1_000_000

// Page reads n and last. It refuses with 400.
func (r Request) Page() (Page, *Refusal) {
	page := Page{N: -1}
	query, err := url.ParseQuery(r.Query)
	if err != nil {
		return Page{}, malformed(Unsupported, "the query is not valid")
	}
	page.Last = query.Get("last")
	if text := query.Get("n"); query.Has("n") {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return Page{}, malformed(PaginationNumberInvalid, "n is not valid: a number of entries is expected")
		}
		page.N = int(min(n, maxPage))
	}
	return page, nil
}

// Cut returns the page of a sorted list, and whether there is more after it. An
// empty page has no more: it has no last entry to continue from.
func (p Page) Cut(list []string) (page []string, more bool) {
	from, found := slices.BinarySearch(list, p.Last)
	if found && p.Last != "" {
		from++
	}
	list = list[from:]
	if p.N < 0 || len(list) <= p.N {
		return list, false
	}
	return list[:p.N], p.N > 0
}

// Next returns the path and query of the page after one that ends with last,
// for a request of path.
func (p Page) Next(path, last string) string {
	return path + "?last=" + url.QueryEscape(last) + "&n=" + strconv.Itoa(p.N)
}
