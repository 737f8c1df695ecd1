package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func shipped(t *testing.T) []excuse {
	t.Helper()
	excuses, err := parseExcuses(excusesTable, faultNames())
	if err != nil {
		t.Fatal(err)
	}
	return excuses
}

func TestExcusesThatMakeNoSenseAreErrors(t *testing.T) {
	if len(shipped(t)) < 10 {
		t.Fatal("the shipped table has hardly a line")
	}
	for line, want := range map[string]string{
		"| nginx-killed | * | * | unavailable | 1s | why |":     "",
		"| nginx-dead | * | * | unavailable | 1s | why |":       `no fault is called "nginx-dead"`,
		"| dns-gone+mars | * | * | unavailable | 1s | why |":    `no fault is called "mars"`,
		"| nginx-killed | rich | * | unavailable | 1s | why |":  `unknown customer "rich"`,
		"| nginx-killed | * | beer | unavailable | 1s | why |":  `unknown request "beer"`,
		"| nginx-killed | * | * | refused | 1s | why |":         `"refused" cannot be excused`,
		"| nginx-killed | * | * | served | 1s | why |":          `"served" cannot be excused`,
		"| nginx-killed | * | * | unavailable | soon | why |":   `invalid duration`,
		"| nginx-killed | * | * | unavailable | 1s |  |":        "the last with a reason",
		"| nginx-killed | * | * | unavailable | 1s | a | why |": "expected 6 cells",
	} {
		_, err := parseExcuses(line, faultNames())
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

func TestJudge(t *testing.T) {
	now := time.Now()
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	excuses, err := parseExcuses(`
		| nginx-killed | * | * | unavailable | 5s | why |
		| vendor-* | new | tag | busy | 0s | why |
		| tokens-expired-early+tokenrefresher-killed | * | * | unavailable | 0s | why |`, faultNames())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name             string
		customer, asks   string
		want, got        outcome
		began, ended     int
		periods          []period
		verdict, without verdict // without any excuse
	}{
		{"served", "known", byTag, served, served, 0, 1, nil, ok, ok},
		{"refused", "wrong", byTag, refused, refused, 0, 1, nil, ok, ok},
		{"lost in quiet times", "known", byTag, served, unavailable, 0, 1, nil, lost, lost},
		{"lost in a fault", "known", byTag, served, unavailable, 0, 1, []period{{"nginx-killed", at(0), time.Time{}}}, excused, lost},
		{"lost after a fault", "known", byTag, served, unavailable, 9, 10, []period{{"nginx-killed", at(0), at(5)}}, excused, lost},
		{"lost long after a fault", "known", byTag, served, unavailable, 11, 12, []period{{"nginx-killed", at(0), at(5)}}, lost, lost},
		{"lost before a fault", "known", byTag, served, unavailable, 0, 1, []period{{"nginx-killed", at(2), time.Time{}}}, lost, lost},
		{"another fault", "known", byTag, served, unavailable, 0, 1, []period{{"nginx-paused", at(0), time.Time{}}}, lost, lost},
		{"another outcome", "known", byTag, served, busy, 0, 1, []period{{"nginx-killed", at(0), time.Time{}}}, lost, lost},
		{"a pattern", "new", byTag, served, busy, 0, 1, []period{{"vendor-slow", at(0), time.Time{}}}, excused, lost},
		{"another customer", "known", byTag, served, busy, 0, 1, []period{{"vendor-slow", at(0), time.Time{}}}, lost, lost},
		{"another request", "new", byDigest, served, busy, 0, 1, []period{{"vendor-slow", at(0), time.Time{}}}, lost, lost},
		{"one of two", "known", byTag, served, unavailable, 0, 1, []period{{"tokens-expired-early", at(0), time.Time{}}}, lost, lost},
		{"both", "known", byTag, served, unavailable, 0, 1, []period{{"tokens-expired-early", at(0), time.Time{}}, {"tokenrefresher-killed", at(0), time.Time{}}}, excused, lost},
		{"a right denied", "known", byTag, served, refused, 0, 1, []period{{"nginx-killed", at(0), time.Time{}}}, wronged, wronged},
		{"served without a right", "wrong", byTag, refused, served, 0, 1, []period{{"nginx-killed", at(0), time.Time{}}}, wronged, wronged},
		{"other content", "known", byTag, served, otherwise, 0, 1, []period{{"nginx-killed", at(0), time.Time{}}}, wronged, wronged},
	} {
		p := pull{customer: tt.customer, asks: tt.asks, want: tt.want, outcome: tt.got, began: at(tt.began), ended: at(tt.ended)}
		if got := judge(p, tt.periods, excuses); got != tt.verdict {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.verdict)
		}
		if got := judge(p, tt.periods, nil); got != tt.without {
			t.Errorf("%s, without excuses: %s, want %s", tt.name, got, tt.without)
		}
	}
}

// TestPlanted: without excuses, what a dead nginx loses fails a run.
func TestPlanted(t *testing.T) {
	now := time.Now()
	p := pull{customer: "known", asks: byTag, want: served, outcome: unavailable, began: now, ended: now.Add(time.Second)}
	inForce := []period{{fault: "nginx-killed", from: now}}
	if got := judge(p, inForce, shipped(t)); got != excused {
		t.Errorf("as shipped: %s", got)
	}
	if got := judge(p, inForce, planted(plantExcuse, shipped(t))); got != lost {
		t.Errorf("without excuses: %s", got)
	}
}

func TestLedgerFails(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name  string
		good  int
		more  []pull
		fails string
	}{
		{"all is well", 10, nil, ""},
		{"nothing was pulled", 0, nil, "no pull succeeded"},
		{"one is lost", 99, []pull{{want: served, outcome: unavailable}}, "1 pulls were lost"},
		{"one is let in", 99, []pull{{want: refused, outcome: served}}, "1 pulls got the opposite"},
		{"one is excused", 99, []pull{{customer: "new", asks: byTag, want: served, outcome: busy}}, ""},
		{"many are excused", 18, slices.Repeat([]pull{{customer: "new", asks: byTag, want: served, outcome: busy}}, 1), "5.3 % of all pulls"},
	} {
		excuses, err := parseExcuses("| vendor-* | new | * | busy | 0s | why |", faultNames())
		if err != nil {
			t.Fatal(err)
		}
		l := newLedger(excuses, io.Discard)
		l.starts("vendor-down")
		for range tt.good {
			l.add(pull{want: served, outcome: served})
		}
		for _, p := range tt.more {
			p.began, p.ended = now, now.Add(time.Minute)
			l.add(p)
		}
		got := strings.Join(l.failures(), "; ")
		if (got == "") != (tt.fails == "") || !strings.Contains(got, tt.fails) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.fails)
		}
	}
}

func TestClassify(t *testing.T) {
	find := func(name string) kind {
		for _, k := range everyKind {
			if k.name == name {
				return k.kind
			}
		}
		t.Fatal(name)
		return kind{}
	}
	for _, tt := range []struct {
		customer, out string
		want          outcome
	}{
		{"known", "Error: GET http://x/v2/a/manifests/1.0: UNAVAILABLE: the registry is temporarily unavailable; try again", unavailable},
		{"known", "received unexpected HTTP status: 503 Service Temporarily Unavailable", unavailable},
		{"known", "Error: error writing layer: unexpected EOF", unavailable},
		{"known", "something that nobody has seen before", unavailable},
		{"known", "unauthorized: the e-mail or the API token is wrong", refused},
		{"known", "sha256:4011403140411429 is what it is", unavailable},
		{"new", "TOOMANYREQUESTS: too many logins at the moment; try again in a few seconds", busy},
		{"ended", "denied: license lic_1 expired on 2026-10-28", refused},
		{"ended", "unauthorized: the e-mail or the API token is wrong", otherwise},
		{"unlicensed", "MANIFEST_UNKNOWN: acme/appliance:2.0 does not exist or is not part of your license", refused},
		{"wrong", "request failed: unauthorized [http 401]", refused},
		{"wrong", "denied: license lic_1 expired on 2026-10-28", otherwise},
	} {
		if got := classify(find(tt.customer), tt.out); got != tt.want {
			t.Errorf("%s, %q: %s, want %s", tt.customer, tt.out, got, tt.want)
		}
	}
	out := "2026/11/27 retrying GET x: TOOMANYREQUESTS\ntime=1 level=WARN msg=\"denied\"\nError: UNAVAILABLE\n"
	if got := final(out); got != "Error: UNAVAILABLE\n" {
		t.Errorf("the end of what a client said: %q", got)
	}
}

func TestListed(t *testing.T) {
	for _, out := range []string{
		"1.0\n1.1\n1.2\n1.3\n1.4\n",
		`{"Repository": "127.0.0.1:39655/acme/appliance", "Tags": ["1.4", "1.0", "1.1", "1.2", "1.3"]}`,
	} {
		if tags := listed(out); !sameTags(tags) {
			t.Errorf("%s: %q", out, tags)
		}
	}
	if sameTags(listed("1.0\n1.1\n1.2\n1.3\n1.4\n2.0\n")) {
		t.Error("an unlicensed tag goes unnoticed")
	}
}

func TestASeedRepeatsTheSchedule(t *testing.T) {
	const during = time.Hour
	both := func(seed uint64) string { return fmt.Sprint(schedule(seed, during), shortSchedule(seed)) }
	if first, second := both(7), both(7); first != second {
		t.Error("the same seed gives another schedule")
	}
	if both(7) == both(8) {
		t.Error("another seed gives the same schedule")
	}
	seen, total := map[string]bool{}, time.Duration(0)
	for _, s := range schedule(7, during) {
		if len(s.faults) == 2 && s.faults[0].target == s.faults[1].target {
			t.Errorf("%s: both have the same target", s)
		}
		for _, f := range s.faults {
			seen[f.name] = true
			if f.restarts && total >= during/2 {
				t.Errorf("%s: a restart in the second half, at %v", s, total)
			}
		}
		total += s.quiet + s.lasts
	}
	for _, f := range everyFault {
		if !seen[f.name] {
			t.Errorf("%s never comes", f.name)
		}
	}
	if steps := shortSchedule(7); len(steps) != len(everyFault) {
		t.Errorf("the short form has %d steps, want one for each of %d faults", len(steps), len(everyFault))
	}
}

func TestGrown(t *testing.T) {
	was := map[string]state{"authsvc": {10, 10, 10 << 20}}
	for _, tt := range []struct {
		is   state
		want string
	}{
		{was["authsvc"], ""},
		{state{10 + growth.goroutines, 10 + growth.descriptors, 10<<20 + growth.memory}, ""},
		{state{11 + growth.goroutines, 10, 10 << 20}, "goroutines"},
		{state{10, 11 + growth.descriptors, 10 << 20}, "descriptors"},
		{state{10, 10, 11<<20 + growth.memory}, "memory"},
	} {
		err := grown(was, map[string]state{"authsvc": tt.is})
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.is, err, tt.want)
		}
	}
}
