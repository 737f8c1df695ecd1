package upstream

import "github.com/pullgate/pullgate/tokenrefresher/tokenfile"

// Values are what a token is in an answer: each slice is the only value of a header.
// They are made once for each token, not for each request, and must not be changed.
type Values struct {
	Authorization, Host, TokenID []string

	token tokenfile.Token
}

// Values returns those of one of the registry's tokens.
func (u *Upstream) Values(t tokenfile.Token) *Values {
	if v := u.values.Load(); v != nil && v.token.Equal(t) {
		return v
	}
	v := &Values{[]string{t.Authorization()}, []string{t.Host}, []string{u.TokenID(t)}, t}
	u.values.Store(v)
	return v
}
