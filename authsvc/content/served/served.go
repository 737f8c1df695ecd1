// Package served hears from nginx which files it has served, so that the store
// knows which were used least recently. nginx sends a datagram for each, by
// access_log to a syslog socket. A lost one does no harm.
// https://nginx.org/en/docs/syslog.html
package served

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// maxDatagram is longer than any line that nginx sends by our log_format.
const maxDatagram = 1 << 10

// What becomes of a datagram, in metrics.
const (
	known     = "known"
	unknown   = "unknown" // evicted meanwhile
	malformed = "malformed"
)

// A Listener reads datagrams.
type Listener struct {
	used   func(object.Digest) bool
	logger *slog.Logger
	lines  *prometheus.CounterVec
}

// New makes a Listener. used is called with each digest, and says whether the
// store has it.
func New(used func(object.Digest) bool, logger *slog.Logger, r prometheus.Registerer) *Listener {
	l := &Listener{used: used, logger: logger, lines: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_content_served_lines_total",
		Help: "Lines from nginx about files that it has served, by whether the store has the file: known, unknown, or malformed (nginx's configuration is wrong).",
	}, []string{"file"})}
	r.MustRegister(l.lines)
	for _, what := range []string{known, unknown, malformed} {
		l.lines.WithLabelValues(what)
	}
	return l
}

// Run reads until ctx ends or the connection is closed.
func (l *Listener) Run(ctx context.Context, conn net.PacketConn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the read
	defer stop()
	buffer := make([]byte, maxDatagram)
	for {
		n, _, err := conn.ReadFrom(buffer)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			l.logger.Warn("reading what nginx has served failed", "error", err)
			time.Sleep(time.Second) // the next read may fail as well
			continue
		}
		l.take(buffer[:n])
	}
}

func (l *Listener) take(line []byte) {
	digest, ok := Parse(line)
	what := malformed
	if ok {
		what = unknown
		if l.used(digest) {
			what = known
		}
	}
	l.lines.WithLabelValues(what).Inc()
}

// Parse finds the digest in a line of nginx: the last word, after what syslog puts
// before it.
//
//	<190>Nov 27 23:33:49 nginx: sha256:0123…
func Parse(line []byte) (object.Digest, bool) {
	line = bytes.TrimRight(line, "\n")
	word := line[bytes.LastIndexByte(line, ' ')+1:]
	return object.ParseDigest(string(word))
}
