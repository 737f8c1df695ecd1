package stack

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Close stops the children and the stand-ins, and removes the directory. It is safe
// to call it again, and after a failed start.
func (s *Stack) Close() error {
	if s.shut() {
		return nil
	}
	// From the customer inward, so that no program logs that another one is gone.
	errs := []error{s.stop("nginx", "content", "authsvc", "tokenrefresher")}
	if s.socket != nil && s.socket.front != nil {
		errs = append(errs, s.socket.front.Close())
	}
	errs = append(errs, s.unlisten())
	if s.Authsvc != nil {
		errs = append(errs, s.Authsvc.Close())
	}
	if s.interposed != nil {
		s.interposed.CloseIdleConnections()
	}
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	errs = append(errs, s.closeSources())
	for _, u := range s.upstreams {
		errs = append(errs, u.close())
	}
	errs = append(errs, s.end())
	for _, port := range s.ports {
		releasePort(port)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the stack: %w", err)
	}
	return nil
}

// Close stops the registry and the stand-ins, and removes the directory. It is safe
// to call it again, and after a failed start.
func (o *Outside) Close() error {
	if o.shut() {
		return nil
	}
	if err := o.end(); err != nil {
		return fmt.Errorf("closing the outside services: %w", err)
	}
	return nil
}

// shut prevents further starts, and reports whether it was already shut.
func (o *Outside) shut() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.closed
	o.closed = true
	return before
}

func (o *Outside) end() error {
	errs := []error{o.stop(o.stores...)}
	o.starter.close()
	closeOne := func(started bool, c io.Closer) {
		if started {
			errs = append(errs, c.Close())
		}
	}
	closeOne(o.ECR != nil, o.ECR)
	closeOne(o.Vendor != nil, o.Vendor)
	closeOne(o.DNS != nil, o.DNS)
	for _, transport := range o.idle {
		transport.CloseIdleConnections()
	}
	if o.Dir != "" {
		errs = append(errs, os.RemoveAll(o.Dir))
	}
	return errors.Join(errs...)
}

// stop stops those children that were started.
func (o *Outside) stop(names ...string) error {
	var errs []error
	for _, name := range names {
		if p := o.Process(name); p != nil {
			errs = append(errs, p.Stop())
		}
	}
	return errors.Join(errs...)
}
