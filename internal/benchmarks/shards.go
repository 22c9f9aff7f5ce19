package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// The two limits of W10: shards in progress, and sub-tasks in flight over all of them.
const (
	mostShards = 10
	mostTasks  = 20
)

// shard is something that has so many sub-tasks, each of which waits for the store.
type shard struct {
	size     int
	newcomer bool
	arrived  time.Time
}

// store is what the sub-tasks wait for. It counts what is in flight, whatever the contestant believes.
type store struct {
	each time.Duration // of a sub-task

	mu                    sync.Mutex
	tasks, shards         int             // guarded by mu: now
	topTasks, topShards   int             // guarded by mu: at most
	doneTasks, doneShards int             // guarded by mu
	waited                []time.Duration // guarded by mu: from the arrival of a newcomer to its first sub-task
}

func (s *store) begin(sh *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards++
	s.topShards = max(s.topShards, s.shards)
}

func (s *store) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards--
	s.doneShards++
}

// fetch is one sub-task; the first one of a newcomer ends its waiting.
func (s *store) fetch(sh *shard, first bool) {
	s.mu.Lock()
	s.tasks++
	s.topTasks = max(s.topTasks, s.tasks)
	if first && sh.newcomer {
		s.waited = append(s.waited, time.Since(sh.arrived))
	}
	s.mu.Unlock()
	time.Sleep(s.each)
}

// ingested ends a sub-task.
func (s *store) ingested() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks--
	s.doneTasks++
}

// mix is the shards of a run in the order in which they come, and how long each comes after the one before.
type mix struct {
	name   string
	shards []shard
	after  func(shard) time.Duration
}

func mixes(each time.Duration) []mix {
	singles := mix{name: "300 shards of 1", after: func(shard) time.Duration { return 0 }}
	for range 300 {
		singles.shards = append(singles.shards, shard{size: 1})
	}
	busy := mix{name: "9 of 240 and 50 newcomers", after: func(s shard) time.Duration {
		if s.newcomer {
			return 2 * each
		}
		return 0
	}}
	for range 9 {
		busy.shards = append(busy.shards, shard{size: 240})
	}
	for range 50 {
		busy.shards = append(busy.shards, shard{size: 1, newcomer: true})
	}
	return []mix{singles, busy}
}

// feed gives the shards of a mix to push in time.
func (m mix) feed(push func(*shard) error) error {
	for _, s := range m.shards {
		time.Sleep(m.after(s))
		s.arrived = time.Now()
		if err := push(&s); err != nil {
			return err
		}
	}
	return nil
}

// task is one sub-task on its way, with its owner.
type task struct {
	shard *shard
	first bool
	from  *stage.Subscription // of the builder
	left  *int                // owned by the builder's goroutine
}

// ourShards is the design that examples/shards calls manual: builders that ask for the next shard when theirs is
// done, one stage that merges what they hand out, and a worker for each slot.
func ourShards(m mix, s *store) error {
	queue := stage.NewQueue[*shard](len(m.shards))
	stages := []stage.Stage{queue}
	slots := stage.NewProducerConsumer(func(_ context.Context, tasks []task, _ *stage.Subscription) ([]task, error) { return tasks, nil })
	for range mostShards {
		builder := stage.NewProducerConsumer(func(_ context.Context, shards []*shard, from *stage.Subscription) ([]task, error) {
			sh := shards[0]
			left := sh.size
			tasks := make([]task, sh.size)
			for i := range tasks {
				tasks[i] = task{sh, i == 0, from, &left}
			}
			s.begin(sh)
			return tasks, from.Hold(1)
		}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(1) }))
		builder.SubscribeTo(queue, stage.Manual())
		slots.SubscribeTo(builder, stage.MaxDemand(1), stage.MinDemand(0))
		stages = append(stages, builder)
	}
	stages = append(stages, slots)
	for range mostTasks {
		worker := stage.NewConsumer(func(ctx context.Context, tasks []task, _ *stage.Subscription) error {
			t := tasks[0]
			s.fetch(t.shard, t.first)
			return t.from.Do(ctx, func(context.Context) error { // the owner takes the result
				s.ingested()
				if *t.left--; *t.left > 0 {
					return nil
				}
				s.end()
				return t.from.Next(1)
			})
		})
		worker.SubscribeTo(slots, stage.MaxDemand(1), stage.MinDemand(0))
		stages = append(stages, worker)
	}
	fed := make(chan error, 1)
	go func() { // ends with the mix; ourShards waits for it
		fed <- m.feed(func(sh *shard) error { return queue.Push(context.Background(), sh) })
		queue.Close()
	}()
	err := stage.Run(context.Background(), stages...)
	return errors.Join(err, <-fed)
}

// semaphores is the same with a goroutine for each shard and each sub-task, and two semaphores.
func semaphores(m mix, s *store) error {
	shards, tasks := make(chan struct{}, mostShards), make(chan struct{}, mostTasks)
	var all sync.WaitGroup
	err := m.feed(func(sh *shard) error {
		all.Go(func() { // ends with its shard
			shards <- struct{}{}
			defer func() { <-shards }()
			s.begin(sh)
			var own sync.WaitGroup
			for i := range sh.size {
				tasks <- struct{}{}
				own.Go(func() { // ends with its sub-task
					s.fetch(sh, i == 0)
					s.ingested()
					<-tasks
				})
			}
			own.Wait()
			s.end()
		})
		return nil
	})
	all.Wait()
	return err
}

// check says whether all was done within both limits.
func (s *store) check(m mix) error {
	tasks := 0
	for _, sh := range m.shards {
		tasks += sh.size
	}
	if s.doneShards != len(m.shards) || s.doneTasks != tasks || s.topShards > mostShards || s.topTasks > mostTasks {
		return fmt.Errorf("%s: %d shards of %d and %d sub-tasks of %d done, at most %d and %d in progress",
			m.name, s.doneShards, len(m.shards), s.doneTasks, tasks, s.topShards, s.topTasks)
	}
	return nil
}

// shardFigures are those of one contestant in one mix.
type shardFigures struct {
	Mix, Contestant    string
	Makespan           spread // milliseconds
	Ratio              spread // of the makespan to that of the semaphores, within a round
	TopShards, TopTask int
	WaitMedian, WaitTo float64 // of newcomers, in milliseconds; over all rounds
}

// runShards is W10: rounds of both contestants on both mixes.
func runShards(rounds int, each time.Duration) ([]shardFigures, error) {
	contestants := []struct {
		name string
		run  func(mix, *store) error
	}{{"two semaphores", semaphores}, {"ours", ourShards}}
	var all []shardFigures
	for _, m := range mixes(each) {
		figures := make([]shardFigures, len(contestants))
		spans := make([][]float64, len(contestants))
		waits := make([][]time.Duration, len(contestants))
		for round := range rounds {
			for k := range contestants {
				c := (k + round) % len(contestants)
				s := &store{each: each}
				began := time.Now()
				if err := contestants[c].run(m, s); err != nil {
					return nil, err
				}
				spans[c] = append(spans[c], time.Since(began).Seconds()*1000)
				if err := s.check(m); err != nil {
					return nil, fmt.Errorf("W10, %s: %w", contestants[c].name, err)
				}
				figures[c].TopShards, figures[c].TopTask = max(figures[c].TopShards, s.topShards), max(figures[c].TopTask, s.topTasks)
				waits[c] = append(waits[c], s.waited...)
			}
		}
		for c := range contestants {
			f := &figures[c]
			f.Mix, f.Contestant, f.Makespan = m.name, contestants[c].name, spreadOf(spans[c])
			var ratios []float64
			for round, span := range spans[c] {
				ratios = append(ratios, span/spans[0][round])
			}
			f.Ratio = spreadOf(ratios)
			if w := waits[c]; len(w) > 0 {
				slices.SortFunc(w, cmp.Compare[time.Duration])
				f.WaitMedian, f.WaitTo = w[len(w)/2].Seconds()*1000, w[len(w)-1].Seconds()*1000
			}
		}
		all = append(all, figures...)
	}
	return all, nil
}
