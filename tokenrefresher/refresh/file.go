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

// tidy removes what an earlier process left that was killed while it wrote.
func (r *Registry) tidy() {
	if err := tokenfile.RemoveLeftovers(r.o.File); err != nil {
		r.o.Logger.Warn("temporary files that contain tokens could not be removed", "error", err.Error())
	}
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
		r.o.Logger.Warn("ignoring the existing token file", "error", err.Error())
		return false
	case !r.o.Source.Owns(t):
		r.o.Logger.Info("ignoring the token in the file: it belongs to another registry or configuration", "token", t)
		return false
	case t.Usable(now) != nil:
		r.o.Logger.Info("ignoring the token in the file: it is not usable", "token", t, "error", t.Usable(now).Error())
		return false
	}
	r.mu.Lock()
	r.current = t
	// One that is said to be fetched in the future says nothing of its age.
	if !t.FetchedAt.After(now) {
		r.due = r.next(t)
	}
	next := r.due
	r.mu.Unlock()
	r.o.Logger.Info("using the token from the file", "token", t, "next", next.UTC())
	return true
}

// stored returns the token that is in the file, and an error if the file does
// not have the current one, nor a later one that reconcile would take over:
// what this process remembers serves nobody.
func (r *Registry) stored() (tokenfile.Token, error) {
	current := r.token() // before the file is read: a refresh changes it after
	found, err := tokenfile.Read(r.o.File)
	switch {
	case errors.Is(err, os.ErrNotExist) && current.FetchedAt.IsZero():
		return tokenfile.Token{}, errNoToken
	case err != nil:
		return tokenfile.Token{}, err
	}
	unusable := found.Usable(time.Now())
	if unusable == nil && !found.Equal(current) && !r.better(found, current) {
		unusable = errOther
	}
	return found, unusable
}

var (
	errNoToken = errors.New("there is no token")
	errOther   = errors.New("expected this registry's latest token in the file, found another")
)

// better tells whether a token that was found in the file takes the place of
// the current one: `tokenrefresher --once` has written it.
func (r *Registry) better(found, current tokenfile.Token) bool {
	return found.FetchedAt.After(current.FetchedAt) && found.Usable(time.Now()) == nil && r.o.Source.Owns(found)
}

// reconcile looks whether the file still is what it should be. If it is gone
// or damaged (its folder was made anew, say), the good token is written again;
// so it is if the file's mode or owner is wrong. A later token is taken over.
func (r *Registry) reconcile() {
	r.storing.Lock()
	defer r.storing.Unlock()
	found, err := tokenfile.Read(r.o.File)
	switch current := r.token(); {
	case err == nil && found.Equal(current):
		r.protect(current)
	case err == nil && r.better(found, current):
		r.o.Logger.Info("using a newer token found in the file", "token", found)
		r.mu.Lock()
		r.current = found
		r.due = r.next(found)
		r.mu.Unlock()
		r.protect(found)
	case current.Usable(time.Now()) != nil:
		// There is nothing to write; a refresh is due.
	case err == nil:
		r.restore(current, errOther)
	default:
		r.restore(current, err)
	}
}

// protect writes the file again if who may read it is not as it should be. If
// that does not help, it is left alone until it changes again: some file
// systems have no modes.
func (r *Registry) protect(current tokenfile.Token) {
	group := tokenfile.Group(r.o.Group)
	wrong := tokenfile.CheckPermissions(r.o.File, group)
	if wrong == nil {
		r.problem = ""
		return
	}
	if r.problem == wrong.Error() {
		return
	}
	if !r.restore(current, wrong) {
		return
	}
	if still := tokenfile.CheckPermissions(r.o.File, group); still != nil {
		r.problem = still.Error()
	}
}

// restore writes the current token again, because of a problem with the file,
// and tells whether it could.
func (r *Registry) restore(current tokenfile.Token, because error) bool {
	if failure := r.write(current); failure != nil {
		because = errors.Join(because, failure)
		if r.problem != because.Error() {
			r.o.Logger.Error("the token file cannot be restored", "error", because.Error())
		}
		r.problem = because.Error()
		return false
	}
	r.problem = ""
	r.o.Logger.Warn("the token file was restored", "token", current, "error", because.Error())
	return true
}
