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

// tidy removes temporary files of an earlier process that was killed while writing.
func (r *Registry) tidy() {
	if err := tokenfile.RemoveLeftovers(r.o.File); err != nil {
		r.o.Logger.Warn("temporary files that contain tokens could not be removed", "error", err.Error())
	}
}

// takeOver starts with the token in the file, and says whether there is one. If
// it is no longer fresh but usable, it stays until an attempt gets a better one.
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
	// The age of a token with a FetchedAt in the future is unknown.
	if !t.FetchedAt.After(now) {
		r.due = r.next(t)
	}
	next := r.due
	r.mu.Unlock()
	r.o.Logger.Info("using the token from the file", "token", t, "next", next.UTC())
	return true
}

// stored returns the token in the file. It is an error if that is neither the
// current token nor a later one that reconcile would take over: authsvc sees only
// the file, not what this process remembers.
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

// better says whether a token found in the file replaces the current one: then
// `tokenrefresher --once` has written it.
func (r *Registry) better(found, current tokenfile.Token) bool {
	return found.FetchedAt.After(current.FetchedAt) && found.Usable(time.Now()) == nil && r.o.Source.Owns(found)
}

// reconcile checks the file. If it is missing or damaged (its folder was
// recreated, say), or has the wrong mode or owner, the good token is written again.
// A later token is taken over.
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

// protect writes the file again if its permissions are wrong. If that does not
// help, it leaves the file alone until it changes: some file systems have no modes.
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

// restore writes the current token again because of a problem with the file, and
// says whether that succeeded.
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
