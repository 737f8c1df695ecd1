package guard_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/guard"
)

// heap is what is in use, in bytes.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestMillionAddresses lets each of a million addresses fail, which the bounds
// on look-ups would take half a day to allow, and looks at what is remembered.
func TestMillionAddresses(t *testing.T) {
	addresses := 1_000_000
	if testing.Short() {
		addresses = 200_000
	}
	config := guard.Defaults()
	roomy(&config)
	before := heap()
	w := newWorld(t, config)

	used := from(office, "ann", "right")
	w.wants(used, "ann", "pass")
	for i := range addresses {
		// In IPv6 and IPv4 alternately, one user each.
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], 0x2001_0db8_0000_0000+uint64(i))
		address := netip.AddrFrom16(b)
		if i%2 == 0 {
			address = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24+uint32(i))))
		}
		c := guard.Caller{Address: address, User: "u", Credential: sha256.Sum256(b[:])}
		pass, limit := w.Enter(context.Background(), c)
		if limit != nil {
			t.Fatal(limit)
		}
		pass.Refused()
	}
	w.wantNumber("records", "offender", config.MaxRecords)
	w.wantNumber("records", "pair", config.MaxRecords)
	w.wantNumber("records", "host", 1)
	grown := heap() - before
	t.Logf("%d MB for %d addresses", grown>>20, addresses)
	if grown > 40<<20 {
		t.Errorf("the heap has grown by %d MB", grown>>20)
	}
	w.wants(used, "ann", "pass")
}

// The record of an address has made room while it was asking, and there is
// another one.
func TestFailuresAreCountedAfterEviction(t *testing.T) {
	inWorld(t, func(c *guard.Config) { c.MaxRecords, c.Address = 1, guard.Threshold{Free: 1, Ban: 2} }, func(w *world) {
		first := w.enter(from(home, "ann", "1"))
		w.enter(from(office, "eve", "1")).NoAnswer()
		second := w.enter(from(home, "bob", "2"))
		first.Refused()
		second.Refused()
		w.wants(from(home, "ann", "right"), "ann", "ban 15m0s")
	})
}

// A flood of addresses pushes out neither bans, nor those who have failed, nor
// those with customers, as long as it only comes.
func TestFloodEvictsOnlyVisitors(t *testing.T) {
	inWorld(t, func(c *guard.Config) { c.MaxRecords, c.Wait, c.BanFor = 100, 0, 2*time.Hour }, func(w *world) {
		used := from(office, "ann", "right")
		w.wants(used, "ann", "pass")
		w.getBanned(office)
		w.getBanned(home)
		w.wants(from("192.0.2.9", "bob", "wrong"), no, "pass")
		w.enter(from("192.0.2.10", "x", "x")) // holds a place meanwhile
		for i := range 10_000 {
			w.ask(from(at(i), "x", "x"), outage)
		}
		w.wantNumber("records", "visitor", 100)
		w.wantNumber("active_bans", "address", 2)
		w.wants(from(home, "ann", "right"), "ann", "ban 2h0m0s")
		if got := w.ask(from(office, "eve", "right"), "eve"); !strings.HasPrefix(got, "ban ") {
			t.Errorf("the office: %s", got)
		}
		w.wants(used, "ann", "pass")
		for range 100 { // still the same wrong credential
			time.Sleep(time.Second)
			w.wants(from("192.0.2.9", "bob", "wrong"), no, "pass")
		}
	})
}
