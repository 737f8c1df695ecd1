package web

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// Grants implements auth.Licenser.
func (s *Source) Grants(ctx context.Context, account auth.Account) (auth.Grants, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	w := walk{Source: s, endpoint: s.licenses}
	return w.grants(ctx, nil, account)
}

// A walk goes through the pages of an account's licenses.
type walk struct {
	*Source
	endpoint  *endpoint
	presented *credential.Credential // nil if it is not sent
}

// grants reads all pages. page is the first one; nil if it has to be asked for.
func (w walk) grants(ctx context.Context, page *answer, account auth.Account) (auth.Grants, error) {
	var grants []auth.Grant
	var u *url.URL
	var err error
	if page == nil {
		if u, err = w.first(account); err != nil {
			return auth.Grants{}, fmt.Errorf("licenses: %w", err)
		}
	}
	for number := 1; number <= w.config.MaxPages; number++ {
		if page == nil {
			if page, err = w.ask(ctx, w.endpoint, u, w.presented); err != nil {
				return auth.Grants{}, fmt.Errorf("licenses: %w", err)
			}
		}
		if w.ends(page, number) {
			return auth.NewGrants(grants...), nil
		}
		var items []any
		if items, err = w.items(ctx, page); err != nil {
			return auth.Grants{}, fmt.Errorf("licenses: page %d: %w", number, err)
		}
		if grants, err = w.grantsOf.AppendGrants(ctx, grants, items); err != nil {
			return auth.Grants{}, fmt.Errorf("licenses: page %d: %w: %w", number, auth.ErrUnreadable, err)
		}
		if u, err = w.next(ctx, page, number, len(items)); err != nil {
			return auth.Grants{}, fmt.Errorf("licenses: page %d: %w", number, err)
		}
		if u == nil {
			return auth.NewGrants(grants...), nil
		}
		page = nil
	}
	return auth.Grants{}, fmt.Errorf("licenses: %w: more than %d pages; see max_pages", auth.ErrUnreadable, w.config.MaxPages)
}

// first is the URL of the first page.
func (w walk) first(account auth.Account) (*url.URL, error) {
	u, err := w.endpoint.url.expand(names{user: account.User, subject: account.Subject})
	if errors.Is(err, errUnsendable) {
		return nil, fmt.Errorf("%w: the account's user or subject cannot be put into licenses.url", auth.ErrUnreadable)
	}
	return u, err
}

// ends says whether a page's status means that there are no licenses, or no more.
func (w walk) ends(page *answer, number int) bool {
	if number > 1 {
		return slices.Contains(w.config.Licenses.EndStatuses, page.status)
	}
	return w.licenses != nil && slices.Contains(w.config.Licenses.NoneStatuses, page.status)
}

// items are the licenses of a page.
func (w walk) items(ctx context.Context, page *answer) ([]any, error) {
	switch page.verdict {
	case unclear:
		return nil, page.doubt
	case notMine:
		return nil, errors.New("expected licenses of the account that the service has accepted, found an answer that not_mine recognizes")
	}
	value, err := page.value()
	if err != nil {
		return nil, err
	}
	return w.list(ctx, value)
}

func (s *Source) list(ctx context.Context, value any) ([]any, error) {
	items, err := s.itemsOf.List(ctx, value)
	if err != nil {
		return nil, fmt.Errorf("items: %w", err)
	}
	return items, nil
}

// Try says which grants the expressions make of a saved answer with licenses.
func (s *Source) Try(ctx context.Context, answer []byte) ([]auth.Grant, error) {
	value, err := jq.Decode(answer)
	if err != nil {
		return nil, err
	}
	items, err := s.list(ctx, value)
	if err != nil {
		return nil, err
	}
	return s.grantsOf.AppendGrants(ctx, nil, items)
}

// next is the URL of the page after page; nil at the end.
func (w walk) next(ctx context.Context, page *answer, number, count int) (*url.URL, error) {
	if w.nextOf == nil {
		return nil, nil
	}
	value, err := page.value()
	if err != nil {
		return nil, err
	}
	var link any
	if page.link != "" {
		link = page.link
	}
	next, err := w.nextOf.With(link, number, count).Optional(ctx, value, maxLink)
	switch {
	case err != nil:
		return nil, fmt.Errorf("next: %w", err)
	case next == "":
		return nil, nil
	case w.config.Licenses.Parameter == "":
		return w.endpoint.url.follow(page.url, next)
	}
	u := *page.url
	query := u.Query()
	query.Set(w.config.Licenses.Parameter, next)
	u.RawQuery = query.Encode()
	return &u, nil
}
