package explore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-genstage/genstage/internal/explore"
	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/go-genstage/genstage/stage"
)

var plays = []struct {
	name   string
	delays int // in CI; in the long run one more
	play
}{
	{"as it should go", 2, play{events: 3, max: 2}},
	{"from the first message", 2, play{events: 2, max: 1, fromStart: true}},
	{"calls behind the buffer", 2, play{events: 4, max: 1, after: true}},
	{"asked for as much as there is", 1, play{events: 3, max: 1, unbounded: true}},
	{"cancel", 1, play{events: 3, max: 2, cancel: true}},
	{"fails", 2, play{events: 3, max: 2, fails: true}},
	{"fails and runs again", 1, play{events: 3, max: 2, fails: true, restart: true}},
	{"abort", 1, play{events: 3, max: 2, abort: true}},
	{"abort and run again", 1, play{events: 3, max: 2, abort: true, restart: true}},
	{"cancel and abort", 0, play{events: 3, max: 2, cancel: true, abort: true, restart: true}},
	{"abort in the beginning", 0, play{events: 1, max: 1, abort: true, restart: true, fromStart: true}},
	{"broadcast", 2, play{events: 3, max: 2, dispatch: stage.Broadcast[int], all: true}},
	{"broadcast, cancel", 1, play{events: 3, max: 2, dispatch: stage.Broadcast[int], all: true, cancel: true}},
	{"broadcast, abort", 1, play{events: 3, max: 2, dispatch: stage.Broadcast[int], all: true, abort: true}},
	{"partitions", 2, play{events: 4, max: 2, dispatch: thirds, keys: []int{0, 1}}},
	{"events for nobody", 1, play{events: 8, max: 1, dispatch: thirds, keys: []int{0, 1}, pulled: true}},
	{"partitions, cancel", 1, play{events: 4, max: 1, dispatch: thirds, keys: []int{0, 1}, cancel: true}},
	{"partitions, fails and runs again", 1, play{events: 4, max: 2, dispatch: thirds, keys: []int{0, 1}, fails: true, restart: true}},
}

// thirds deals events to two partitions, a third of them to none.
var thirds = stage.PartitionBy(func(e int) int { return e % 3 }, 0, 1)

// every runs act under every schedule with so many delays, one more in the long run, and with its fault at every point.
func every(t *testing.T, delays int, act func(*testing.T, *explore.Choices) []string) {
	t.Helper()
	switch {
	case raceEnabled:
		delays = max(0, delays-1)
	case testargs.Long():
		delays++
	}
	begin := time.Now()
	c := explore.NewChoices(delays)
	for {
		if violations := act(t, c); len(violations) > 0 {
			t.Fatalf("run %d, choices %v:\n%s", c.Runs, c.Path(), strings.Join(violations, "\n"))
		}
		if !c.Next() {
			break
		}
	}
	t.Logf("all %d schedules with %d delays or fewer, up to %d choices each, %v", c.Runs, delays, c.Longest, time.Since(begin))
}

func TestEverySchedule(t *testing.T) {
	for _, p := range plays {
		t.Run(p.name, func(t *testing.T) { every(t, p.delays, p.act) })
	}
}

func TestEveryPointToStop(t *testing.T) {
	for name, p := range map[string]chainPlay{
		"no events":     {max: 2},
		"3 events":      {events: 3, max: 2},
		"slow consumer": {events: 3, max: 2, slow: true},
	} {
		t.Run(name, func(t *testing.T) { every(t, 1, p.act) })
	}
}
