package flow_test

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-genstage/genstage/flow"
	"github.com/go-genstage/genstage/stage"
)

// subject is a flow and what it must give, by a model that goes through slices one step after the other.
type subject struct {
	f     flow.Flow[int]
	want  []int
	steps []string // for the message of a failing test
}

func (s subject) then(f flow.Flow[int], want []int, step string, args ...any) subject {
	return subject{f, want, append(slices.Clip(s.steps), fmt.Sprintf(step, args...))}
}

// world makes random flows. If ordered, all of its layers keep the order.
type world struct {
	*rand.Rand
	ordered bool
}

// layer returns random options of a layer whose operations keep nothing back.
func (w world) layer() []flow.Option {
	most := 1 + w.IntN(12)
	opts := []flow.Option{flow.Stages(1 + w.IntN(4)), flow.MaxDemand(most), flow.MinDemand(w.IntN(most))}
	if w.ordered || w.IntN(6) == 0 {
		opts = append(opts, flow.Ordered(w.IntN(30)))
	}
	return opts
}

// keeping returns those of one whose operations keep something back.
func (w world) keeping() []flow.Option {
	if w.ordered {
		return []flow.Option{flow.Stages(1), flow.MaxDemand(1 + w.IntN(12))}
	}
	return []flow.Option{flow.Stages(1 + w.IntN(4)), flow.MaxDemand(1 + w.IntN(12))}
}

// source returns a random flow without operations.
func (w world) source() subject {
	values := make([]int, w.IntN(60))
	for i := range values {
		values[i] = w.IntN(40)
	}
	var s subject
	switch kind := w.IntN(6); kind {
	case 0:
		return s.then(flow.FromSlice(values, w.layer()...), values, "slice of %d", len(values))
	case 1:
		return s.then(flow.FromSeq(slices.Values(values), w.layer()...), values, "seq of %d", len(values))
	case 2:
		return s.then(flow.FromSeq2(func(yield func(int, error) bool) {
			for _, v := range values {
				if !yield(v, nil) {
					return
				}
			}
		}, w.layer()...), values, "seq2 of %d", len(values))
	case 3:
		ch := make(chan int, len(values))
		for _, v := range values {
			ch <- v
		}
		close(ch)
		return s.then(flow.FromChannel(ch, w.layer()...), values, "channel of %d", len(values))
	case 4:
		return s.then(flow.FromProducers(stage.FromSlice(values)).Shuffle(w.layer()...), values, "producer of %d", len(values))
	default:
		if w.ordered {
			return s.then(flow.FromSlice(values, flow.Stages(1)), values, "slice of %d", len(values))
		}
		at := w.IntN(len(values) + 1)
		return s.then(flow.FromProducers(stage.FromSlice(values[:at]), stage.FromSlice(values[at:])).Shuffle(w.layer()...), values, "two producers of %d", len(values))
	}
}

// flow returns a random flow.
func (w world) flow() subject {
	s := w.source()
	for range w.IntN(6) {
		s = w.pure(s)
		if w.IntN(2) == 0 {
			s = w.next(s)
		}
	}
	return s
}

// pure adds an operation of the same layer.
func (w world) pure(s subject) subject {
	k := 1 + w.IntN(9)
	times := func(v int) []int { return slices.Repeat([]int{v}, v%3) }
	switch w.IntN(9) {
	case 0:
		return s.then(flow.Map(s.f, func(v int) int { return v*k + 1 }), each(s.want, func(v int) []int { return []int{v*k + 1} }), "map")
	case 1:
		strs := flow.MapErr(s.f, func(_ context.Context, v int) (string, error) { return fmt.Sprint(v + k), nil })
		return s.then(flow.Map(strs, func(s string) int { return len(s) }), each(s.want, func(v int) []int { return []int{len(fmt.Sprint(v + k))} }), "maperr, map")
	case 2:
		return s.then(s.f.Filter(func(v int) bool { return v%k != 0 }), each(s.want, func(v int) []int {
			if v%k == 0 {
				return nil
			}
			return []int{v}
		}), "filter")
	case 3:
		return s.then(s.f.Reject(func(v int) bool { return v%(k+1) == 0 }), each(s.want, func(v int) []int {
			if v%(k+1) == 0 {
				return nil
			}
			return []int{v}
		}), "reject")
	case 4:
		return s.then(flow.FlatMap(s.f, times), each(s.want, times), "flatmap")
	case 5:
		return s.then(flow.FlatMapErr(s.f, func(_ context.Context, v int) ([]int, error) { return times(v), nil }), each(s.want, times), "flatmaperr")
	case 6:
		return s.then(flow.FlatMapSeq(s.f, func(v int) iter.Seq[int] {
			if v%3 == 0 {
				return nil
			}
			return slices.Values(times(v))
		}), each(s.want, times), "flatmapseq")
	case 7:
		return s.then(flow.MapBatch(s.f, func(_ context.Context, batch []int) ([]int, error) {
			if len(batch) == 0 {
				panic("an empty batch")
			}
			for i := range batch {
				batch[i] += k
			}
			return batch, nil
		}), each(s.want, func(v int) []int { return []int{v + k} }), "mapbatch")
	default:
		return s.then(s.f.Tap(func(v int) {
			if v%17 == 0 {
				time.Sleep(time.Duration(v%60) * time.Microsecond) // so that stages overtake each other
			}
		}), s.want, "tap")
	}
}

// next adds an operation that begins a layer.
func (w world) next(s subject) subject {
	if w.ordered {
		switch w.IntN(3) {
		case 0:
			return s.then(s.f.Shuffle(w.layer()...), s.want, "shuffle")
		case 1:
			return s.then(w.through(s.f, 1).Shuffle(w.layer()...), s.want, "through")
		default:
			n := w.IntN(40)
			return s.then(s.f.Take(n), s.want[:min(n, len(s.want))], "take %d", n)
		}
	}
	k := 1 + w.IntN(9)
	switch w.IntN(15) {
	case 0:
		return s.then(s.f.Shuffle(w.layer()...), s.want, "shuffle")
	case 1:
		return s.then(flow.Partition(s.f, func(v int) int { return v % k }, w.keeping()...), s.want, "partition")
	case 2:
		return s.then(s.f.PartitionWith(func(v, n int) int { return v % n }, w.keeping()...), s.want, "partitionwith")
	case 3:
		n := 1 + w.IntN(3)
		return s.then(s.f.Broadcast(flow.Stages(n)).Filter(func(int) bool { return true }), slices.Repeat(s.want, n), "broadcast %d", n)
	case 4:
		other := w.source()
		if w.IntN(2) == 0 {
			other = w.pure(other)
		}
		return s.then(flow.Merge(s.f, other.f), slices.Concat(s.want, other.want), "merge %v", other.steps)
	case 5:
		return s.then(flow.UniqBy(s.f, func(v int) int { return v }, w.keeping()...), uniq(s.want), "uniq")
	case 6:
		groups := flow.EmitPairs(flow.GroupBy(s.f, func(v int) int { return v % k }, func(v int) int { return v }, w.keeping()...))
		sums := flow.MapValues(groups, func(values []int) int { return sum(values) })
		return s.then(flow.Map(sums, func(p flow.Pair[int, int]) int { return p.Key + 1000*p.Value }), sumsBy(s.want, k), "groupby %d", k)
	case 7:
		return s.then(w.reduced(s.f, k), sumsBy(s.want, k), "reduce and departition by %d", k)
	case 8:
		return s.then(flow.Sum(s.f), []int{sum(s.want)}, "sum")
	case 9:
		return s.then(flow.Map(flow.Count(s.f), func(n int64) int { return int(n) }), []int{len(s.want)}, "count")
	case 10:
		f, want := flow.Min(s.f), least(s.want, 1)
		if k%2 == 0 {
			f, want = flow.Max(s.f), each(least(each(s.want, negative), 1), negative)
		}
		return s.then(f, want, "min or max %d", k)
	case 11:
		return s.then(flow.EmitEach(flow.TopN(s.f, k, func(a, b int) bool { return a < b })), least(s.want, k), "top %d", k)
	case 12:
		batches := flow.Batch(s.f.Shuffle(w.keeping()...), w.IntN(5), time.Duration(1+k)*time.Millisecond)
		if k%2 == 0 {
			batches = flow.BatchWeight(s.f.Shuffle(w.keeping()...), int64(10*k), func(v int) int64 { return int64(v) }, time.Duration(k%4)*time.Millisecond)
		}
		return s.then(flow.FlatMap(batches, notEmpty), s.want, "batch")
	case 13:
		batches := flow.BatchBy(s.f, func(v int) int { return v % k }, 1+w.IntN(5), time.Duration(w.IntN(3))*time.Millisecond, w.keeping()...)
		return s.then(flow.FlatMap(batches, func(p flow.Pair[int, []int]) []int {
			for _, v := range p.Value {
				if v%k != p.Key {
					panic("a value in the batch of another key")
				}
			}
			return notEmpty(p.Value)
		}), s.want, "batchby")
	default:
		return s.then(w.through(s.f, 1+w.IntN(3)), s.want, "through")
	}
}

// reduced sums by key, in each stage and then in one.
func (w world) reduced(f flow.Flow[int], k int) flow.Flow[int] {
	fresh := func() map[int]int { return map[int]int{} }
	sums := flow.Reduce(f.Shuffle(w.keeping()...), fresh, func(acc map[int]int, v int) map[int]int { acc[v%k] += v; return acc })
	all := flow.Departition(sums, fresh, func(acc, part map[int]int) map[int]int {
		for key, sum := range part {
			acc[key] += sum
		}
		return acc
	})
	return flow.Map(flow.EmitPairs(all), func(p flow.Pair[int, int]) int { return p.Key + 1000*p.Value })
}

// through passes the values through stages of the test's own.
func (w world) through(f flow.Flow[int], n int) flow.Flow[int] {
	return flow.Through(f, func() *stage.ProducerConsumer[int, int] {
		return stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) { return events, nil })
	}, flow.Stages(n))
}

func each(values []int, fn func(v int) []int) []int {
	var all []int
	for _, v := range values {
		all = append(all, fn(v)...)
	}
	return all
}

func negative(v int) []int { return []int{-v} }

func notEmpty(batch []int) []int {
	if len(batch) == 0 {
		panic("an empty batch")
	}
	return batch
}

func uniq(values []int) []int {
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}

func sum(values []int) int {
	total := 0
	for _, v := range values {
		total += v
	}
	return total
}

func sumsBy(values []int, k int) []int {
	sums := map[int]int{}
	for _, v := range values {
		sums[v%k] += v
	}
	var all []int
	for key, sum := range sums {
		all = append(all, key+1000*sum)
	}
	return all
}

func least(values []int, n int) []int {
	values = slices.Clone(values)
	slices.SortFunc(values, cmp.Compare[int])
	return values[:min(n, len(values))]
}
