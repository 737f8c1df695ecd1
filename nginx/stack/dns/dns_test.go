package dns_test

import (
	"reflect"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pullgate/pullgate/nginx/stack/dns"
)

func TestAnswers(t *testing.T) {
	s, err := dns.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	set := func(name string, ips ...string) func() {
		return func() {
			if err := s.Set(name, time.Second, ips...); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		before func()
		net    string
		ask    string
		qtype  uint16
		rcode  int
		want   []string
	}{
		{"unknown", func() {}, "udp", "a.example.", mdns.TypeA, mdns.RcodeNameError, nil},
		{"known", set("a.example", "127.0.0.1"), "udp", "a.example.", mdns.TypeA, mdns.RcodeSuccess, []string{"127.0.0.1"}},
		{"by tcp", func() {}, "tcp", "a.example.", mdns.TypeA, mdns.RcodeSuccess, []string{"127.0.0.1"}},
		{"any case", func() {}, "udp", "A.eXample.", mdns.TypeA, mdns.RcodeSuccess, []string{"127.0.0.1"}},
		{"no IPv6", func() {}, "udp", "a.example.", mdns.TypeAAAA, mdns.RcodeSuccess, nil},
		{"changed", set("a.example", "127.0.0.2", "127.0.0.3"), "udp", "a.example.", mdns.TypeA, mdns.RcodeSuccess, []string{"127.0.0.2", "127.0.0.3"}},
		{"failing", func() { s.Fail(true) }, "udp", "a.example.", mdns.TypeA, mdns.RcodeServerFailure, nil},
		{"well again", func() { s.Fail(false) }, "udp", "a.example.", mdns.TypeA, mdns.RcodeSuccess, []string{"127.0.0.2", "127.0.0.3"}},
		{"removed", set("a.example"), "udp", "a.example.", mdns.TypeA, mdns.RcodeNameError, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.before()
			c := mdns.Client{Net: tt.net}
			reply, _, err := c.Exchange(new(mdns.Msg).SetQuestion(tt.ask, tt.qtype), s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, rr := range reply.Answer {
				got = append(got, rr.(*mdns.A).A.String())
			}
			if reply.Rcode != tt.rcode || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("rcode %d %v, want %d %v", reply.Rcode, got, tt.rcode, tt.want)
			}
		})
	}
	if n := s.Queries("a.example"); n != 9 {
		t.Errorf("%d queries counted, want 9", n)
	}
	if err := s.Set("a.example", 0, "::1"); err == nil {
		t.Error("an IPv6 address was taken")
	}
}
