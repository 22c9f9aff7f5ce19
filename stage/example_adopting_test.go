package stage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// page stands for a call over HTTP.
func page(_ context.Context, id int) (string, error) {
	if id == 13 {
		return "", errors.New("not found")
	}
	return fmt.Sprint("page ", id), nil
}

// fetchAll is what one writes without stages: at most 4 calls at once, over a list that is there.
func fetchAll(ctx context.Context, ids []int) (got []string) {
	var mu sync.Mutex
	var calls sync.WaitGroup
	slots := make(chan struct{}, 4)
	for _, id := range ids {
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			if text, err := page(ctx, id); err == nil {
				mu.Lock()
				got = append(got, text)
				mu.Unlock()
			}
		})
	}
	calls.Wait()
	return got
}

// The same with stages: the ids come from a source that is asked for them, so nobody lists them beforehand.
func Example_fanOut() {
	ids := stage.FromSlice([]int{11, 12, 13, 14})

	var got []string // owned by calls
	var calls *stage.ConsumerSupervisor[int]
	calls = stage.NewConsumerSupervisor(func(ctx context.Context, id int) error {
		text, err := page(ctx, id)
		if err != nil {
			return err
		}
		return calls.Do(ctx, func(context.Context) error { got = append(got, text); return nil })
	})
	calls.OnDeadLetter(func(_ context.Context, id, _ int, err error) {
		got = append(got, fmt.Sprint("no page ", id, ": ", err))
	})
	calls.SubscribeTo(ids, stage.MaxDemand(4))

	err := stage.Run(context.Background(), ids, calls)
	slices.Sort(got)
	fmt.Println(got, err, len(fetchAll(context.Background(), []int{11, 12, 13, 14})))
	// Output: [no page 13: not found page 11 page 12 page 14] <nil> 3
}

// broker delivers a message again until somebody acknowledges it.
type broker struct {
	mu    sync.Mutex
	ready []string
	taken map[string]bool // delivered, not acknowledged
}

// receive returns up to n messages.
func (b *broker) receive(n int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := slices.Clone(b.ready[:min(n, len(b.ready))])
	b.ready = b.ready[len(got):]
	for _, m := range got {
		b.taken[m] = true
	}
	return got
}

// done acknowledges m, or gives it back.
func (b *broker) done(m string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.taken, m)
	if !ok {
		b.ready = append(b.ready, m)
	}
}

// A worker of a queue: what it has not asked for stays in the queue, for other processes; what it has done is acknowledged;
// what fails is delivered again.
func Example_queueWorker() {
	queue := &broker{ready: []string{"a", "b", "c"}, taken: map[string]bool{}}
	tries := map[string]int{}
	handle := func(m string) error {
		tries[m]++
		if m == "b" && tries[m] == 1 {
			return errors.New("the first try fails")
		}
		return nil
	}

	source := stage.Poll(func(_ context.Context, demand int) ([]string, error) {
		return queue.receive(demand), nil
	}, stage.PollEvery(10*time.Millisecond, time.Second)) // while the queue is empty
	handled := make(chan string) // to show what was handled: leave it out
	worker := stage.ForEach(func(_ context.Context, m string) error {
		err := handle(m)
		queue.done(m, err == nil) // behind the work: a crash before this delivers it again
		handled <- fmt.Sprint(m, " ", err)
		return nil
	})
	worker.SubscribeTo(source, stage.MaxDemand(1))

	pipeline := stage.NewPipeline(source, worker)
	go func() {
		for range 4 {
			fmt.Println(<-handled)
		}
		_ = pipeline.Stop(context.Background()) // as at SIGTERM: what has been received is finished
	}()
	fmt.Println(pipeline.Run(context.Background()), len(queue.ready), len(queue.taken))
	// Output:
	// a <nil>
	// b the first try fails
	// c <nil>
	// b <nil>
	// <nil> 0 0
}
