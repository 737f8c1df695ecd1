package guard

// Banned returns the Limit of a caller who is banned; nil for all others, among
// them who has used this very credential at this address within a day. Ask it
// before the cache: what passes there, and how fast, must tell a guesser nothing.
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
