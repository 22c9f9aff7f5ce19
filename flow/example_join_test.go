package flow_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-genstage/genstage/flow"
)

// row is of one of two flows that are joined.
type row struct {
	user int
	at   time.Time
	name string // of the left one
	item string // of the right one
}

// sides are the rows with one key.
type sides struct{ names, items []string }

func join(acc map[int]*sides, r row) map[int]*sides {
	s := acc[r.user]
	if s == nil {
		s = &sides{}
		acc[r.user] = s
	}
	if r.name != "" {
		s.names = append(s.names, r.name)
	} else {
		s.items = append(s.items, r.item)
	}
	return acc
}

func noSides() map[int]*sides { return map[int]*sides{} }

// There is no join. This is an inner one: both flows are merged into one of a common type, partitioned by the key, and
// each stage keeps both sides until the end of the input. An outer join emits the sides without a partner, too.
func Example_join() {
	users := flow.FromSlice([]row{{user: 1, name: "Ann"}, {user: 2, name: "Bob"}, {user: 3, name: "Cid"}})
	orders := flow.FromSlice([]row{{user: 2, item: "tea"}, {user: 1, item: "cake"}, {user: 2, item: "ink"}})

	both := flow.Partition(flow.Merge(users, orders), func(r row) int { return r.user })
	joined := flow.OnTrigger(flow.Reduce(both, noSides, join), func(acc map[int]*sides, _ flow.Trigger, emit func(string)) map[int]*sides {
		for _, s := range acc {
			for _, name := range s.names {
				for _, item := range s.items {
					emit(name + " " + item)
				}
			}
		}
		return noSides()
	})
	got, err := joined.Collect(context.Background())
	slices.Sort(got)
	fmt.Println(got, err)
	// Output: [Ann cake Bob ink Bob tea] <nil>
}

// A join in windows is the same with a window in front of the Reduce: each window has sides of its own, which are dropped with it.
func Example_joinInWindows() {
	at := func(minute int) time.Time { return time.Date(2026, 1, 1, 12, minute, 0, 0, time.UTC) }
	users := flow.FromSlice([]row{{user: 1, name: "Ann", at: at(1)}, {user: 1, name: "Ann", at: at(61)}})
	orders := flow.FromSlice([]row{{user: 1, item: "cake", at: at(2)}, {user: 1, item: "tea", at: at(3)}, {user: 1, item: "ink", at: at(62)}})

	both := flow.Partition(flow.Merge(users, orders), func(r row) int { return r.user }, flow.Stages(2))
	hourly := both.FixedWindows(time.Hour, func(r row) time.Time { return r.at })
	joined := flow.OnTrigger(flow.Reduce(hourly, noSides, join), func(acc map[int]*sides, t flow.Trigger, emit func(string)) map[int]*sides {
		for _, s := range acc {
			for _, name := range s.names {
				for _, item := range s.items {
					emit(fmt.Sprintf("%02d:00 %s %s", t.Window.Start.Hour(), name, item))
				}
			}
		}
		return noSides()
	})
	got, err := joined.Collect(context.Background())
	slices.Sort(got)
	for _, g := range got {
		fmt.Println(g)
	}
	fmt.Println(err)
	// Output:
	// 12:00 Ann cake
	// 12:00 Ann tea
	// 13:00 Ann ink
	// <nil>
}
