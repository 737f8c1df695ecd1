package guard_test

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// A company behind one address: a cluster repeats an old password for three
// days, asked about every ten seconds as the cache forgets it, and fifty
// developers log in each morning, each after a typing error or two.
func TestOfficeMeetsNoLimit(t *testing.T) {
	for name, user := range map[string]func(int) string{
		"an account each":          func(i int) string { return fmt.Sprint("developer", i) },
		"ten accounts, five users": func(i int) string { return fmt.Sprint("team", i%10) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				var group sync.WaitGroup
				group.Go(func() {
					for range 3 * 24 * 360 {
						w.wants(from(office, "cluster", "old"), no, "pass")
						time.Sleep(10 * time.Second)
					}
				})
				for day := range 3 {
					for i := range 50 {
						for typo := range 1 + i%2 {
							w.wants(from(office, user(i), fmt.Sprint("typo", day, i, typo)), no, "pass")
							time.Sleep(5 * time.Second)
						}
						w.wants(from(office, user(i), fmt.Sprint("right", day, user(i))), user(i), "pass")
						time.Sleep(30 * time.Second)
					}
					time.Sleep(20 * time.Hour)
				}
				group.Wait()
				w.wantNumber("limits_total", "", 0)
				w.wantNumber("bans_total", "", 0)
			})
		})
	}
}

// Fifty first logins within a moment, with an API that takes its time.
func TestOfficeLogsInAtOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				pass := w.enter(from(office, fmt.Sprint("developer", i), "right"))
				time.Sleep(150 * time.Millisecond)
				pass.Accepted(fmt.Sprint("developer", i))
			})
		}
		group.Wait()
		w.wantNumber("lookups_total", "accepted", 50)
	})
}
