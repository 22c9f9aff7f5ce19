package stagetest_test

import (
	"testing"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
)

// byThree has three partitions of a quarter each; the rest is dropped, or panics.
var byThree = stage.PartitionWith(func(n int) (int, int, bool) {
	if n%16 == 15 {
		panic("no key")
	}
	return n, n % 4, n%16 != 7
}, 0, 1, 2)

func inPartitions(i int) stage.Request[int] {
	return stage.Request[int]{Consumer: i, Key: i % 3}
}

// selective has, of five, two that want all, one that wants some, two that may lag behind.
func selective(i int) stage.Request[int] {
	r := stage.Request[int]{Consumer: i}
	switch i % 5 {
	case 1:
		r.Where = func(n int) bool { return n%3 == 0 }
	case 2:
		r.Lag = 5
	case 3:
		r.Lag, r.Policy = 3, stage.LagDisconnect
		r.Where = func(n int) bool { return n%2 == 0 }
	}
	return r
}

func lagging(i int) stage.Request[int] {
	return stage.Request[int]{Consumer: i, Lag: 1 + i%4, Policy: stage.LagPolicy(i % 2)}
}

// charged has every other one charged.
func charged(inner func(i int) stage.Request[int]) func(i int) stage.Request[int] {
	return func(i int) stage.Request[int] {
		r := inner(i)
		r.Charged = i%2 == 0 && r.Lag == 0
		return r
	}
}

func plain(i int) stage.Request[int] { return stage.Request[int]{Consumer: i} }

var cases = []struct {
	name string
	make stage.DispatcherFactory[int]
	opts []stagetest.Option
}{
	{"Demand", stage.Demand[int], nil},
	{"Demand shuffled", func(...stage.DispatchOption) (stage.Dispatcher[int], error) {
		return stage.Demand[int](stage.Shuffle(7))
	}, nil},
	{"Broadcast", stage.Broadcast[int], nil},
	{"Broadcast with Where and Lag", stage.Broadcast[int], []stagetest.Option{stagetest.Requests(selective)}},
	{"Broadcast, all with Lag", stage.Broadcast[int], []stagetest.Option{stagetest.Requests(lagging)}},
	{"Demand, charged", stage.Demand[int], []stagetest.Option{stagetest.Requests(charged(plain))}},
	{"Broadcast, charged", stage.Broadcast[int], []stagetest.Option{stagetest.Requests(charged(plain))}},
	{"Broadcast with Where and Lag, charged", stage.Broadcast[int], []stagetest.Option{stagetest.Requests(charged(selective))}},
	{"PartitionWith, charged", byThree, []stagetest.Option{stagetest.Requests(charged(inPartitions))}},
	{"PartitionWith", byThree, []stagetest.Option{stagetest.Requests(inPartitions)}},
	{"PartitionBy", stage.PartitionBy(func(n int) int { return n % 3 }, 0, 1, 2), []stagetest.Option{stagetest.Requests(inPartitions)}},
}

func TestDispatchersOfThisModule(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { stagetest.TestDispatcher(t, c.make, c.opts...) })
	}
}

func FuzzDemand(f *testing.F) { stagetest.FuzzDispatcher(f, stage.Demand[int]) }

func FuzzBroadcast(f *testing.F) {
	stagetest.FuzzDispatcher(f, stage.Broadcast[int], stagetest.Requests(selective))
}

func FuzzPartition(f *testing.F) {
	stagetest.FuzzDispatcher(f, byThree, stagetest.Requests(inPartitions))
}
