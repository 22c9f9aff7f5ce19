package flow_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/flow"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// sent is a number, when it happened, and how long to wait before it is sent; times in seconds.
type sent struct {
	n      int
	at     float64
	waited float64
}

func (s sent) time() time.Time { return sec(s.at) }

func sec(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }

// slowly yields values, each after its time.
func slowly(values ...sent) iter.Seq[sent] {
	return func(yield func(sent) bool) {
		for _, v := range values {
			time.Sleep(time.Duration(v.waited * 1e9))
			if !yield(v) {
				return
			}
		}
	}
}

// input is a flow of values that come one by one, each as it is yielded, in a layer of one stage.
func input(values ...sent) flow.Flow[sent] {
	return flow.FromSeq(slowly(values...), one, flow.MaxDemand(1))
}

// silent is a flow that has nothing to say for ten minutes.
func silent() flow.Flow[sent] {
	return flow.FromSeq(func(func(sent) bool) { time.Sleep(600 * time.Second) })
}

// both merges two flows in one stage.
func both(f, g flow.Flow[sent]) flow.Flow[sent] {
	return flow.Merge(f, g).Shuffle(one, flow.MaxDemand(1))
}

// pane is what a trigger saw, and when in the bubble.
type pane struct {
	When    float64
	Window  string
	Numbers string
	Timing  string
	Name    string
}

// panes reduces windows to what their triggers see.
func panes(g flow.Windows[sent]) flow.Flow[pane] {
	start := time.Now()
	lists := flow.Reduce(g, func() []int { return nil }, func(acc []int, s sent) []int { return append(acc, s.n) })
	return flow.OnTrigger(lists, func(acc []int, t flow.Trigger, emit func(pane)) []int {
		window := fmt.Sprint(t.Window.Index)
		if !t.Window.End.IsZero() {
			window = fmt.Sprintf("%d-%d", t.Window.Start.Unix()%1000, t.Window.End.Unix()%1000)
		}
		emit(pane{time.Since(start).Seconds(), window, fmt.Sprint(acc), t.Timing.String(), t.Name})
		return acc
	})
}

func collectPanes(t *testing.T, g flow.Windows[sent]) []pane {
	t.Helper()
	got, err := panes(g).Collect(t.Context())
	require.NoError(t, err)
	return got
}

// The clock of a bubble begins at midnight in the year 2000, at a second that is a multiple of 100.
func TestPeriodicWindowsAreThoseInWhichValuesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := input(sent{n: 1, waited: 3}, sent{n: 2, waited: 6.9}, sent{n: 3, waited: 0.1}, sent{n: 4, waited: 40}, sent{n: 5, waited: 1})
		require.Equal(t, []pane{
			{10, "800-810", "[1 2]", "final", ""},
			{20, "810-820", "[3]", "final", ""},
			{51, "850-860", "[4 5]", "final", ""},
		}, collectPanes(t, f.PeriodicWindows(10*time.Second)))
	})
}

func TestWindowsAreEmittedWhileTheInputIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := input(sent{n: 1, waited: 1}, sent{n: 2, waited: 3}, sent{n: 3, waited: 1000})
		require.Equal(t, []pane{
			{6, "0", "[1 2]", "early", "periodically"}, // 5 s after the first value
			{1004, "0", "[1 2 3]", "final", ""},
		}, collectPanes(t, f.GlobalWindow().TriggerPeriodically(5*time.Second)), "nothing is emitted twice that has not changed")
	})
}

// A window is held open for the idle time from when another source has come past its end, here at 3 seconds.
func TestAnIdleSourceDoesNotHoldTheWatermarkBack(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []flow.EventTimeOption
		want []pane
	}{
		{"a minute", nil, []pane{{63, "0-10", "[1]", "final", ""}, {600, "10-20", "[2]", "final", ""}}},
		{"as said", []flow.EventTimeOption{flow.Idle(20 * time.Second)}, []pane{{23, "0-10", "[1]", "final", ""}, {600, "10-20", "[2]", "final", ""}}},
		{"never", []flow.EventTimeOption{flow.Idle(0)}, []pane{{600, "0-10", "[1]", "final", ""}, {600, "10-20", "[2]", "final", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy := input(sent{n: 1, at: 1}, sent{n: 2, at: 12, waited: 3})
				require.Equal(t, c.want, collectPanes(t, both(busy, silent()).FixedWindows(10*time.Second, sent.time, c.opts...)))
			})
		})
	}
}

// Bursts that lie further apart than the idle time: however the stages in the middle share them, nobody is overtaken.
func TestAfterAPauseNoValueIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var values []sent
		for i := range 60 {
			v := sent{n: i, at: float64(i)}
			if i%20 == 0 {
				v.waited = 1000
			}
			values = append(values, v)
		}
		slow := flow.Map(flow.FromSeq(slowly(values...)).Shuffle(flow.Stages(3), flow.MaxDemand(1)), func(s sent) sent {
			time.Sleep(time.Duration(5-s.n%4) * time.Second) // not all equally slow
			return s
		})
		late := 0
		g := slow.Shuffle(one).FixedWindows(10*time.Second, sent.time).
			OnLate(func(context.Context, sent) error { late++; return nil })
		got := collectPanes(t, g)
		require.Zero(t, late)
		require.Len(t, got, 6)
	})
}

// A source whose end has come does not hold the watermark back, without any waiting.
func TestASourceThatHasEndedDoesNotHoldTheWatermarkBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := input(sent{n: 1, at: 1, waited: 5})
		long := input(sent{n: 2, at: 2}, sent{n: 3, at: 12, waited: 1}, sent{n: 4, at: 100, waited: 900})
		require.Equal(t, []pane{
			{5, "0-10", "[2 1]", "final", ""},
			{901, "10-20", "[3]", "final", ""},
			{901, "100-110", "[4]", "final", ""},
		}, collectPanes(t, both(short, long).FixedWindows(10*time.Second, sent.time, flow.Idle(0))))
	})
}

// The reducing stage is held up by what is behind it for longer than the idle time. The values of both sources wait in it: neither is
// idle, and neither may be overtaken.
func TestASourceWhoseValuesWaitIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := func(first int) flow.Flow[sent] {
			var values []sent
			for i := range 40 {
				values = append(values, sent{n: first + i, at: float64(i), waited: 1})
			}
			return input(values...)
		}
		slow := func(s sent) sent { time.Sleep(100 * time.Second); return s }
		f := flow.Map(flow.Merge(source(0), source(100)).Shuffle(one, flow.MaxDemand(3)), slow)
		late := 0
		g := f.FixedWindows(10*time.Second, sent.time, flow.Idle(30*time.Second)).
			OnLate(func(context.Context, sent) error { late++; return nil })
		got := collectPanes(t, g)
		require.Zero(t, late)
		require.Len(t, got, 4)
	})
}

// What is behind a batch in the same layer comes from nobody in particular: all is one source.
func TestBehindABatchAllValuesAreOfOneSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := input(sent{n: 1, at: 1}, sent{n: 2, at: 2}, sent{n: 3, at: 12, waited: 3}, sent{n: 4, at: 25, waited: 1})
		batches := flow.Batch(both(busy, silent()), 2, 10*time.Second)
		flat := flow.FlatMap(batches, func(b []sent) []sent { return b })
		require.Equal(t, []pane{
			{4, "0-10", "[1 2]", "final", ""},
			{4, "10-20", "[3]", "final", ""},
			{600, "20-30", "[4]", "final", ""},
		}, collectPanes(t, flat.FixedWindows(10*time.Second, sent.time)))
	})
}

// A map over whole batches keeps nothing from one to the next, so it is known from whom its results are.
func TestBehindAMapBatchSourcesAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := input(sent{n: 1, at: 1, waited: 50})
		fast := input(sent{n: 2, at: 2}, sent{n: 3, at: 35, waited: 1})
		same := flow.MapBatch(both(slow, fast), func(_ context.Context, b []sent) ([]sent, error) { return b, nil })
		require.Equal(t, []pane{
			{50, "0-10", "[2 1]", "final", ""},
			{50, "30-40", "[3]", "final", ""},
		}, collectPanes(t, same.FixedWindows(10*time.Second, sent.time)))
	})
}

// Stop in the middle of windows drains: each open window is emitted once.
func TestAStopEmitsAllWindowsOnce(t *testing.T) {
	for _, g := range []func(f flow.Flow[sent]) flow.Windows[sent]{
		func(f flow.Flow[sent]) flow.Windows[sent] { return f.GlobalWindow().TriggerEvery(1000) },
		func(f flow.Flow[sent]) flow.Windows[sent] { return f.CountWindows(7) },
		func(f flow.Flow[sent]) flow.Windows[sent] { return f.PeriodicWindows(7 * time.Second) },
		func(f flow.Flow[sent]) flow.Windows[sent] {
			return f.FixedWindows(7*time.Second, sent.time, flow.Disorder(time.Hour))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			endless := flow.FromSeq(func(yield func(sent) bool) {
				for i := 0; ; i++ {
					time.Sleep(time.Second)
					if !yield(sent{n: 1, at: float64(i)}) {
						return
					}
				}
			}, one, flow.MaxDemand(1))
			counts := flow.Reduce(g(endless), func() int { return 0 }, func(n int, s sent) int { return n + s.n })
			total := 0
			p := flow.OnTrigger(counts, func(n int, tr flow.Trigger, emit func(int)) int {
				if tr.Timing == flow.Final {
					total += n
				}
				return n
			}).Pipeline()
			result := make(chan error, 1)
			go func() { result <- p.Run(t.Context()) }()
			time.Sleep(30*time.Second + time.Millisecond)
			require.NoError(t, p.Stop(t.Context()))
			require.NoError(t, <-result)
			require.GreaterOrEqual(t, total, 30)
			require.LessOrEqual(t, total, 33)
			in := p.Stats().Members[0].Output.Emitted
			require.EqualValues(t, in, total, "in = out")
		})
	}
}

func TestASignalReachesAllStagesThatRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s flow.Signal
		s.Send("nobody runs")
		numbers := make(chan int)
		byKey := flow.Partition(flow.FromChannel(numbers), func(n int) int { return n }, flow.Stages(4))
		counts := flow.Reduce(byKey.GlobalWindow().TriggerOn(&s), func() int { return 0 }, func(n, _ int) int { return n + 1 })
		lines := flow.OnTrigger(counts, func(n int, tr flow.Trigger, emit func(string)) int {
			emit(fmt.Sprintf("%s%d", tr.Name, n))
			return 0
		})
		total := map[string]int{}
		result := make(chan error, 1)
		go func() {
			result <- lines.ForEach(t.Context(), func(_ context.Context, line string) error {
				var n int
				if _, err := fmt.Sscanf(line, "now%d", &n); err == nil {
					total["now"] += n
				} else if _, err := fmt.Sscanf(line, "%d", &n); err == nil {
					total["end"] += n
				}
				return nil
			})
		}()
		for n := range 20 {
			numbers <- n
		}
		synctest.Wait()
		s.Send("now")
		synctest.Wait()
		require.Equal(t, map[string]int{"now": 20}, total)
		s.Send("now")
		synctest.Wait()
		require.Equal(t, map[string]int{"now": 20}, total, "nothing has changed")
		numbers <- 1
		close(numbers)
		require.NoError(t, <-result)
		require.Equal(t, map[string]int{"now": 20, "end": 1}, total)
		s.Send("all have ended")
	})
}

func TestWindowsOutOfRangeAreErrors(t *testing.T) {
	f := flow.FromSlice([]sent{{n: 1}})
	fixed := func(opts ...flow.EventTimeOption) flow.Windows[sent] {
		return f.FixedWindows(time.Second, sent.time, opts...)
	}
	for _, c := range []struct {
		g    flow.Windows[sent]
		want string
	}{
		{f.CountWindows(0), "count 0"},
		{f.PeriodicWindows(0), "duration 0s"},
		{f.FixedWindows(-time.Second, sent.time), "duration -1s"},
		{fixed(flow.Disorder(-1)), "disorder -1ns"},
		{fixed(flow.Lateness(-1)), "lateness -1ns"},
		{fixed(flow.Idle(-1)), "idle -1ns"},
		{fixed(nil), "nil EventTimeOption"},
		{f.GlobalWindow().TriggerEvery(0), "TriggerEvery(0)"},
		{f.GlobalWindow().TriggerPeriodically(-time.Second), "TriggerPeriodically(-1s)"},
	} {
		_, err := panes(c.g).Collect(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidOption)
		require.ErrorContains(t, err, c.want)
	}
	require.Panics(t, func() { f.FixedWindows(time.Second, nil) })
	require.Panics(t, func() { f.GlobalWindow().TriggerOn(nil) })
	require.Panics(t, func() { f.GlobalWindow().TriggerFunc(nil) })
}

func TestAnEventTimeOutOfRangeEndsTheFlow(t *testing.T) {
	far := sent{n: 7}
	f := flow.FromSlice([]sent{{n: 1}, far})
	at := func(s sent) time.Time {
		if s == far {
			return time.Unix(math.MaxInt64, 0)
		}
		return s.time()
	}
	got, err := panes(f.FixedWindows(time.Second, at)).Collect(t.Context())
	var item *flow.ItemError
	require.ErrorAs(t, err, &item)
	require.Equal(t, far, item.Item)
	require.Nil(t, got)
}

func TestAnErrorOfOnLateEndsTheFlow(t *testing.T) {
	boom := errors.New("boom")
	f := flow.FromSlice([]sent{{at: 1}, {at: 20}, {n: 3, at: 2}}, one)
	_, err := panes(f.FixedWindows(time.Second, sent.time).OnLate(func(_ context.Context, s sent) error { return boom })).Collect(t.Context())
	require.ErrorIs(t, err, boom)
	var item *flow.ItemError
	require.ErrorAs(t, err, &item)
	require.Equal(t, 3, item.Item.(sent).n)
}

// Windows of n values are those of a stage, so the flow's last ones may be short in each of them. A stage without values has none.
func TestCountWindowsAreThoseOfAStage(t *testing.T) {
	numbers := make([]int, 75)
	for i := range numbers {
		numbers[i] = i
	}
	byStage := flow.FromSlice(numbers).PartitionWith(func(i, _ int) int { return i % 3 }, flow.Stages(4))
	counts := flow.Reduce(byStage.CountWindows(10), func() int { return 0 }, func(n, _ int) int { return n + 1 })
	got, err := flow.OnTrigger(counts, func(n int, tr flow.Trigger, emit func(string)) int {
		emit(fmt.Sprint(tr.Stage, "/", tr.Stages, " ", tr.Window.Index, " ", n))
		return n
	}).Collect(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"0/4 0 10", "0/4 1 10", "0/4 2 5",
		"1/4 0 10", "1/4 1 10", "1/4 2 5",
		"2/4 0 10", "2/4 1 10", "2/4 2 5",
	}, got)

	merged, err := flow.Departition(counts, func() int { return 0 }, func(a, b int) int { return a + b }).EmitState().Collect(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{30, 30, 15}, merged, "those with equal numbers together")
}

func TestALeapOverManyWindowsIsOneWindow(t *testing.T) {
	f := flow.FromSlice([]sent{{n: 1, at: 0}, {n: 2, at: 100_000}, {n: 3, at: 5e9}}, one)
	require.Len(t, collectPanes(t, f.FixedWindows(time.Second, sent.time)), 3)
}

// A flow with windows runs any number of times, and has nothing of the run before.
func TestWindowsRunAgain(t *testing.T) {
	f := panes(flow.FromSlice([]sent{{n: 1}, {n: 2}, {n: 3}}, one).CountWindows(2))
	for range 3 {
		got, err := f.Collect(t.Context())
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, "0", got[0].Window)
	}
}

// countsByWindow merges the counts of two stages, and says when.
func countsByWindow(t *testing.T, d time.Duration, values ...sent) []string {
	t.Helper()
	byN := input(values...).PartitionWith(func(s sent, n int) int { return s.n % n }, flow.Stages(2))
	start := time.Now()
	counts := flow.Reduce(byN.FixedWindows(d, sent.time), func() int { return 0 }, func(n int, _ sent) int { return n + 1 })
	all := flow.Departition(counts, func() int { return 0 }, func(a, b int) int { return a + b })
	got, err := flow.OnTrigger(all, func(n int, tr flow.Trigger, emit func(string)) int {
		emit(fmt.Sprint(time.Since(start).Seconds(), " ", tr.Window.Start.Unix(), " ", n, " ", tr.Timing))
		return n
	}).Collect(t.Context())
	require.NoError(t, err)
	return got
}

// The stage for one key has nothing for the later windows. Each of them waits for it for the idle time, and no longer; what comes late from it is not
// lost.
func TestADepartitionDoesNotWaitForASilentStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var values []sent
		for i := range 6 {
			values = append(values, sent{n: 0, at: float64(10*i + 1), waited: 100})
		}
		values[0].n = 1
		got := countsByWindow(t, 10*time.Second, values...)
		require.Len(t, got, 6)
		require.Equal(t, []string{
			"360 10 1 final", // stage 0 came to window 20 at 300
			"460 20 1 final",
			"560 30 1 final",
		}, got[:3])
		require.ElementsMatch(t, []string{"600 40 1 final", "600 0 1 late", "600 50 1 final"}, got[3:], "stage 1 emits with its end")
	})
}

// Windows that are longer than the idle time have all stages silent most of the time. That must not close them with the first one that speaks.
func TestADepartitionOfLongWindowsMergesAllStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.Equal(t, []string{
			"3610 0 2 final",
			"7210 3600 2 final",
			"7210 7200 2 final",
		}, countsByWindow(t, time.Hour,
			sent{n: 0, at: 1}, sent{n: 1, at: 2},
			sent{n: 0, at: 3601, waited: 3600}, sent{n: 1, at: 3602, waited: 10},
			sent{n: 0, at: 7201, waited: 3590}, sent{n: 1, at: 7202, waited: 10}))
	})
}
