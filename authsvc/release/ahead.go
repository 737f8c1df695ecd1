package release

import "time"

// learnAhead learns what a tag has as of now or later, if there is a slot. Nobody waits
// for it. missed is called if it was not learned. The tag has been noted as being learned.
func (r *Releases) learnAhead(p place, tag string, now time.Time, slots chan struct{}, missed func()) {
	select {
	case slots <- struct{}{}:
	default:
		r.noteLearning(p, tag, -1)
		missed()
		return
	}
	done := func() {
		r.noteLearning(p, tag, -1)
		<-slots
	}
	started := r.work(func() {
		defer done()
		if err := r.learnTag(r.life, p, tag, now); err != nil {
			missed()
			r.logger.Warn("prefetching a release failed", "repository", p.repository, "tag", tag, "error", err)
		}
	})
	if !started {
		done()
	}
}

// noteLearning notes that a tag is being learned ahead, or no longer.
func (r *Releases) noteLearning(p place, tag string, more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := placedTag{p, tag}
	if r.learning[key] += more; r.learning[key] == 0 {
		delete(r.learning, key)
	}
}

// beginLearning notes that a tag is being learned ahead, unless it is already.
func (r *Releases) beginLearning(p place, tag string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := placedTag{p, tag}
	if r.learning[key] > 0 {
		return false
	}
	r.learning[key]++
	return true
}
