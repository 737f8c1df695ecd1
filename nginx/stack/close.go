package stack

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// Close stops the children, ends the stand-ins and removes the folder. It can
// be called again, and after a start that failed.
func (s *Stack) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()

	var errs []error
	// From the customer inwards, so that nobody logs the loss of another.
	for _, name := range []string{"nginx", "authsvc", "tokenrefresher", "docker-registry"} {
		if p := s.Process(name); p != nil {
			errs = append(errs, p.Stop())
		}
	}
	s.starter.close()
	if s.socket != nil && s.socket.front != nil {
		errs = append(errs, s.socket.front.Close())
	}
	errs = append(errs, s.unlisten(), s.closeStandins())
	for _, t := range []*http.Transport{s.registryTransport, s.interposed} {
		if t != nil {
			t.CloseIdleConnections()
		}
	}
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	for _, port := range s.ports {
		releasePort(port)
	}
	if s.Dir != "" {
		errs = append(errs, os.RemoveAll(s.Dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the stack: %w", err)
	}
	return nil
}

func (s *Stack) closeStandins() error {
	var errs []error
	closeOne := func(started bool, c io.Closer) {
		if started {
			errs = append(errs, c.Close())
		}
	}
	closeOne(s.Authsvc != nil, s.Authsvc)
	closeOne(s.ECR != nil, s.ECR)
	closeOne(s.Vendor != nil, s.Vendor)
	closeOne(s.DNS != nil, s.DNS)
	return errors.Join(errs...)
}
