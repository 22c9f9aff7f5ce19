package stage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime/pprof"
	runtimetrace "runtime/trace"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
	"golang.org/x/exp/trace"
)

// labelsOf returns the labels of the goroutines whose stack has the function, as the goroutine profile prints
// them; `go tool pprof -tags` shows the same.
func labelsOf(t *testing.T, function string) []string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&out, 1))
	var labels []string
	for group := range strings.SplitSeq(out.String(), "\n\n") {
		if !strings.Contains(group, function) {
			continue
		}
		label := "none"
		for line := range strings.Lines(group) {
			if rest, ok := strings.CutPrefix(line, "# labels: "); ok {
				label = strings.TrimSpace(rest)
			}
		}
		labels = append(labels, label)
	}
	return labels
}

// blocksHere and its likes have frames of their own, to be found in a profile.
func blocksHere(began chan<- struct{}, until <-chan struct{}) {
	began <- struct{}{}
	<-until
}

func blocksBeside(began chan<- struct{}, until <-chan struct{}) {
	began <- struct{}{}
	<-until
}

func blocksInAChild(began chan<- struct{}, until <-chan struct{}) {
	began <- struct{}{}
	<-until
}

func TestProfileLabelsGoroutines(t *testing.T) {
	began, until := make(chan struct{}), make(chan struct{})
	beside := make(chan struct{})
	p := stage.FromSlice(upTo(2), stage.Name("source"))
	p.DispatchWith(stage.Broadcast)
	c := stage.NewConsumer(func(ctx context.Context, events []int, _ *stage.Subscription) error {
		if v, _ := pprof.Label(ctx, "stage"); v != "sink" {
			return errors.New("the context has no label")
		}
		go func() { // ends with the test
			defer close(beside)
			blocksBeside(began, until)
		}()
		blocksHere(began, until)
		return nil
	}, stage.Name("sink"), stage.Profile())
	sup := stage.NewConsumerSupervisor(func(context.Context, int) error {
		blocksInAChild(began, until)
		return nil
	}, stage.Name("pool"), stage.Profile())
	c.SubscribeTo(p, stage.MaxDemand(2), stage.MinDemand(0))
	sup.SubscribeTo(p, stage.MaxDemand(2))
	done := make(chan error, 1)
	go func() { done <- stage.Run(context.Background(), p, c, sup) }()
	for range 4 {
		<-began
	}
	require.Equal(t, []string{`{"callback":"events", "stage":"sink"}`}, labelsOf(t, "blocksHere"))
	require.Equal(t, []string{`{"callback":"events", "stage":"sink"}`}, labelsOf(t, "blocksBeside"))
	require.Equal(t, []string{`{"callback":"child", "stage":"pool"}`}, labelsOf(t, "blocksInAChild"))
	close(until)
	require.NoError(t, <-done)
	<-beside
}

// Between two callbacks the goroutine of a stage has the label of the stage alone.
func TestProfileLabelsAParkedStage(t *testing.T) {
	handled := make(chan struct{})
	p := stage.NewQueue[int](1)
	c := stage.ForEach(func(context.Context, int) error {
		handled <- struct{}{}
		return nil
	}, stage.Name("parked"), stage.Profile())
	c.SubscribeTo(p)
	require.NoError(t, p.TryPush(1))
	done := make(chan error, 1)
	go func() { done <- stage.Run(context.Background(), p, c) }()
	<-handled
	require.NoError(t, c.Do(context.Background(), func(context.Context) error { return nil }))
	require.Contains(t, labelsOf(t, "stage.(*run"), `{"stage":"parked"}`)
	p.Close()
	require.NoError(t, <-done)
}

// traced is what a trace has of one kind of task.
type traced struct {
	tasks   int
	regions map[string]int // by the name of the callback
	logs    []string
}

// readTrace collects the tasks with their regions and logs, by type.
func readTrace(t *testing.T, r io.Reader) map[string]*traced {
	t.Helper()
	reader, err := trace.NewReader(r)
	require.NoError(t, err)
	all := map[string]*traced{}
	types := map[trace.TaskID]string{}
	for {
		e, err := reader.ReadEvent()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		switch e.Kind() {
		case trace.EventTaskBegin:
			task := e.Task()
			types[task.ID] = task.Type
			if all[task.Type] == nil {
				all[task.Type] = &traced{regions: map[string]int{}}
			}
			all[task.Type].tasks++
		case trace.EventRegionEnd:
			if s := all[types[e.Region().Task]]; s != nil {
				s.regions[e.Region().Type]++
			}
		case trace.EventLog:
			if s := all[types[e.Log().Task]]; s != nil {
				s.logs = append(s.logs, e.Log().Message)
			}
		}
	}
}

func TestProfileTracesATaskForEachRun(t *testing.T) {
	if runtimetrace.IsEnabled() {
		t.Skip("the tests are being traced")
	}
	p := stage.FromSlice(upTo(4), stage.Name("source"), stage.Profile())
	pc := stage.NewProducerConsumer(func(ctx context.Context, events []int, _ *stage.Subscription) ([]int, error) {
		runtimetrace.Log(ctx, "", "from a callback")
		return events, nil
	}, stage.Name("middle"), stage.Profile())
	sup := stage.NewConsumerSupervisor(func(context.Context, int) error { return nil }, stage.Name("pool"), stage.Profile())
	pc.SubscribeTo(p, stage.MaxDemand(2), stage.MinDemand(0))
	sup.SubscribeTo(pc)
	var out bytes.Buffer
	require.NoError(t, runtimetrace.Start(&out))
	first := stage.Run(context.Background(), p, pc, sup)
	second := stage.Run(context.Background(), p, pc, sup)
	runtimetrace.Stop()
	require.NoError(t, first)
	require.NoError(t, second)

	all := readTrace(t, &out)
	require.Equal(t, 2, all["source"].tasks)
	require.Equal(t, map[string]int{"demand": 4}, all["source"].regions)
	require.Equal(t, map[string]int{"events": 4}, all["middle"].regions)
	require.Len(t, all["middle"].logs, 4)
	require.Equal(t, 2, all["pool"].tasks)
	require.Equal(t, map[string]int{"child": 8}, all["pool"].regions)
}

// A callback that panics ends its region, and the labels of what comes after it are right.
func TestProfileSurvivesPanics(t *testing.T) {
	for _, how := range []string{"panic", "Goexit"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var labels []string
				p := stage.FromSlice(upTo(4))
				c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return explode(how) },
					stage.Name("c"), stage.Profile(), stage.OnTerminate(func(error) { labels = labelsOf(t, "labelsOf") }))
				c.SubscribeTo(p)
				require.Error(t, stage.Run(t.Context(), p, c))
				require.Equal(t, []string{`{"callback":"OnTerminate", "stage":"c"}`}, labels)
				closed(t, p, c)
			})
		})
	}
}
