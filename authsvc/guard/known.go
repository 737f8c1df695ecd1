package guard

// Admit lets a caller pass whom the cache knows, and notes the use: the
// credential is then exempt from bans of the address, and the subject counts as
// one of its customers. A banned address gets a Limit, unless it has used this
// very credential within a day: what passes must tell a guesser nothing.
func (g *Guard) Admit(c Caller, subject string) *Limit {
	limit := g.Banned(c)
	if limit == nil {
		g.Passed(c, subject)
	}
	return limit
}

// Banned returns the Limit of a caller who is banned; nil for all others.
func (g *Guard) Banned(c Caller) *Limit {
	g.mu.Lock()
	limit := g.judge(g.visit(c))
	g.mu.Unlock()
	if limit == nil || limit.Reason != Ban {
		return nil
	}
	g.metrics.limits.WithLabelValues(string(Ban)).Inc()
	return limit
}
