package stage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
	"github.com/stretchr/testify/require"
)

// parcel is an event that knows the way it came. (It is an int: for a type of its own the stages would be compiled once more.)
type parcel int

func newParcel(source, n, relay int) parcel { return parcel(source*1_000_000 + n*1000 + relay) }

func (p parcel) way() (source, n, relay int) {
	return int(p) / 1_000_000, int(p) / 1000 % 1000, int(p) % 1000
}

// window returns a random max and min demand.
func window(r *rand.Rand) []stage.SubscribeOption {
	most := 1 + r.IntN(20)
	return []stage.SubscribeOption{stage.MaxDemand(most), stage.MinDemand(r.IntN(most))}
}

// nap takes a random while of virtual time, or none.
func nap(r *rand.Rand, mu *sync.Mutex) {
	mu.Lock()
	ms := max(0, r.IntN(8)-4)
	mu.Unlock()
	time.Sleep(time.Duration(ms) * time.Millisecond)
}

// Whatever the shape of the graph, the windows and the speed of the stages: every event arrives
// once, in order on every way, the end arrives everywhere, and the books agree.
func TestRandomGraphs(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomGraph(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func randomGraph(t *testing.T, r *rand.Rand) {
	var mu sync.Mutex // guards r, once the stages run, and got
	got := map[parcel]int{}

	var sources []*stage.Producer[parcel]
	var stages []stage.Stage
	total := 0
	for i := range 1 + r.IntN(3) {
		events := make([]parcel, r.IntN(100))
		for n := range events {
			events[n] = newParcel(i, n, 0)
		}
		total += len(events)
		if r.IntN(2) == 0 {
			sources = append(sources, stage.FromSlice(events))
		} else {
			sources = append(sources, stage.FromSeq(func(yield func(parcel) bool) {
				for _, e := range events {
					if !yield(e) {
						return
					}
				}
			}))
		}
		stages = append(stages, sources[i])
	}

	var relays []*stage.ProducerConsumer[parcel, parcel]
	for i := range 1 + r.IntN(4) {
		pc := stage.NewProducerConsumer(func(_ context.Context, events []parcel, _ *stage.Subscription) ([]parcel, error) {
			out := make([]parcel, len(events))
			for j, e := range events {
				source, n, _ := e.way()
				out[j] = newParcel(source, n, i)
			}
			nap(r, &mu)
			return out, nil
		})
		relays, stages = append(relays, pc), append(stages, pc)
	}
	for i := range max(len(sources), len(relays)) { // each has a neighbour at least
		relays[i%len(relays)].SubscribeTo(sources[i%len(sources)], window(r)...)
	}

	for i := range 1 + r.IntN(4) {
		stages = append(stages, randomSink(t, r, &mu, got, relays, i))
	}

	r.Shuffle(len(stages), func(i, j int) { stages[i], stages[j] = stages[j], stages[i] })
	require.NoError(t, stage.Run(t.Context(), stages...))
	require.Len(t, got, total)
	for e, times := range got {
		require.Equal(t, 1, times, "%d", e)
	}
	stagetest.Ended(t, stages...)
}

// randomSink makes a consumer of all the relays: automatic, or manual with held events.
func randomSink(
	t *testing.T, r *rand.Rand, mu *sync.Mutex, got map[parcel]int, relays []*stage.ProducerConsumer[parcel, parcel], i int,
) *stage.Consumer[parcel] {
	last := map[[2]int]int{} // by source and relay; owned by the stage goroutine
	take := func(events []parcel) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			source, n, relay := e.way()
			way := [2]int{source, relay}
			if before, ok := last[way]; ok && n <= before {
				t.Errorf("sink %d: %d of source %d came after %d by relay %d", i, n, source, before, relay)
			}
			last[way] = n
			got[newParcel(source, n, 0)]++
		}
	}
	manual := r.IntN(2) == 0
	ask := 1 + r.IntN(10)
	c := stage.NewConsumer(func(_ context.Context, events []parcel, from *stage.Subscription) error {
		take(events)
		if !manual {
			nap(r, mu)
			return nil
		}
		err := from.Hold(len(events)) // before anybody can release them
		for range events {
			go func() { // ends with its nap
				nap(r, mu)
				if err := from.Next(1); err != nil {
					t.Error(err)
				}
			}()
		}
		return err
	}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		if manual {
			return sub.Ask(ask)
		}
		return nil
	}))
	for _, pc := range relays {
		options := window(r)
		if manual {
			options = append(options, stage.Manual())
		}
		c.SubscribeTo(pc, options...)
	}
	return c
}
