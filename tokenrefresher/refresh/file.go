package refresh

import (
	"errors"
	"os"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// store writes t, and makes it the current token if that succeeds.
func (r *Registry) store(t tokenfile.Token) error {
	r.storing.Lock()
	defer r.storing.Unlock()
	if err := r.write(t); err != nil {
		return err
	}
	r.mu.Lock()
	r.current = t
	r.mu.Unlock()
	return nil
}

func (r *Registry) write(t tokenfile.Token) error {
	err := tokenfile.Write(r.o.File, t, tokenfile.Group(r.o.Group))
	if err != nil {
		r.o.Metrics.storeFailed(r.o.Name)
	}
	return err
}

// takeOver begins with the token that is in the file, and tells whether there
// is one. One that is not fresh any more, but usable, is what an attempt has
// to better.
func (r *Registry) takeOver() bool {
	now := time.Now()
	r.mu.Lock()
	r.due = now
	r.mu.Unlock()
	t, err := tokenfile.Read(r.o.File)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false
	case err != nil:
		r.o.Logger.Warn("the token file is not taken over", "error", err.Error())
		return false
	case !r.o.Source.Owns(t):
		r.o.Logger.Info("the token in the file is not of this registry, or of another configuration", "token", t)
		return false
	case t.Usable(now) != nil:
		r.o.Logger.Info("the token in the file is of no use", "token", t, "error", t.Usable(now).Error())
		return false
	}
	r.mu.Lock()
	r.current = t
	// One that is said to be fetched in the future says nothing of its age.
	if next := r.o.Schedule.Next(t, r.o.Random()); !t.FetchedAt.After(now) {
		r.due = next
	}
	next := r.due
	r.mu.Unlock()
	r.o.Logger.Info("token taken over from the file", "token", t, "next", next.UTC())
	return true
}

// renew writes the token that was taken over once more: the file's group may
// be configured otherwise meanwhile.
func (r *Registry) renew() {
	r.storing.Lock()
	defer r.storing.Unlock()
	if err := r.write(r.token()); err != nil {
		r.o.Logger.Warn("the mode and group of the token file could not be renewed", "error", err.Error())
	}
}

// reconcile looks whether the file still is what it should be. If it is gone
// or damaged (its folder was made anew, say), the good token is written again;
// a later one, which `tokenrefresher --once` has written, is taken over.
func (r *Registry) reconcile() {
	r.storing.Lock()
	defer r.storing.Unlock()
	current, now := r.token(), time.Now()
	found, err := tokenfile.Read(r.o.File)
	if err == nil && found.Equal(current) {
		r.problem = ""
		return
	}
	if err == nil && found.FetchedAt.After(current.FetchedAt) && found.Usable(now) == nil && r.o.Source.Owns(found) {
		r.o.Logger.Info("a later token was found in the file and is taken over", "token", found)
		r.mu.Lock()
		r.current = found
		r.due = r.o.Schedule.Next(found, r.o.Random())
		r.mu.Unlock()
		return
	}
	if current.Usable(now) != nil {
		return // there is nothing to write; a refresh is due
	}
	if err == nil {
		err = errors.New("expected the token that was written last, found another")
	}
	if failure := r.write(current); failure != nil {
		err = errors.Join(err, failure)
		if r.problem != err.Error() {
			r.o.Logger.Error("the token file cannot be restored", "error", err.Error())
		}
		r.problem = err.Error()
		return
	}
	r.problem = ""
	r.o.Logger.Warn("the token file was restored", "token", current, "error", err.Error())
}
