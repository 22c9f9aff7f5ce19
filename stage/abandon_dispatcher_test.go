package stage_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Functions that a dispatcher calls, and dispatchers of the user's, that do not return.

// badDispatcher keeps events as the one in it; one of its methods does what it should not once it is armed.
type badDispatcher struct {
	stage.QueueingDispatcher[int]
	at    string
	armed *bool // owned by the stage goroutine
	does  func()
}

func (d *badDispatcher) in(method string) {
	if *d.armed && d.at == method {
		d.does()
	}
}

var dispatcherMethods = []string{
	"Subscribe", "Cancel", "Ask", "HandBack", "Dispatch", "Flush", "Live", "Queued", "Deliverable", "Mark",
}

func (d *badDispatcher) Subscribe(id stage.SubID, r stage.Request[int]) error {
	d.in("Subscribe")
	return d.QueueingDispatcher.Subscribe(id, r)
}

func (d *badDispatcher) Cancel(id stage.SubID) { d.in("Cancel"); d.QueueingDispatcher.Cancel(id) }

func (d *badDispatcher) Ask(id stage.SubID, n int64) { d.in("Ask"); d.QueueingDispatcher.Ask(id, n) }

func (d *badDispatcher) HandBack(r stage.Request[int], events []int) ([]int, int) {
	d.in("HandBack")
	return d.QueueingDispatcher.HandBack(r, events)
}

func (d *badDispatcher) Dispatch(events []int, out stage.Outlet[int]) []int {
	rest := d.QueueingDispatcher.Dispatch(events, out) // half of the way
	d.in("Dispatch")
	out.Dropped(0, nil) // a way back into the stage
	return rest
}

func (d *badDispatcher) Flush(out stage.Outlet[int]) {
	d.in("Flush")
	d.QueueingDispatcher.Flush(out)
}

func (d *badDispatcher) Live() int64 { d.in("Live"); return d.QueueingDispatcher.Live() }

func (d *badDispatcher) Queued() int { d.in("Queued"); return d.QueueingDispatcher.Queued() }

func (d *badDispatcher) Deliverable() int {
	d.in("Deliverable")
	return d.QueueingDispatcher.Deliverable()
}

func (d *badDispatcher) Mark(mark any) bool { d.in("Mark"); return d.QueueingDispatcher.Mark(mark) }

// Whatever method it is, and whatever is in the queues: the stage is abandoned, and the ledger adds up.
func TestStuckDispatcher(t *testing.T) {
	for _, method := range dispatcherMethods {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				armed := false
				release := make(chan struct{})
				odd := stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1)
				p := silent(stage.Name("p"))
				p.DispatchWith(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
					d, err := odd(opts...)
					return &badDispatcher{QueueingDispatcher: d.(stage.QueueingDispatcher[int]), at: method, armed: &armed, does: func() { <-release }}, err
				})
				slow, quick := newSink(time.Second), newSink(0)
				slow.SubscribeTo(stage.Partition(p, 0), stage.MaxDemand(2))
				quick.SubscribeTo(stage.Partition(p, 1), stage.MaxDemand(1000), stage.MinDemand(1))
				runs := runAlone(t.Context(), p, slow, quick)
				give(t, p, upTo(20)...)
				synctest.Wait()
				require.NotZero(t, p.Buffered(), "something waits for slow")
				nothing := func(context.Context) ([]int, error) { return nil, nil }
				require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { armed = true; return nil, nil }))
				require.NoError(t, p.Tell(func(context.Context) ([]int, error) { return upTo(5), nil }))
				require.NoError(t, p.TellAfter(nothing))
				synctest.Wait()
				slow.Abort(errBoom) // Cancel, HandBack
				another := newSink(0)
				another.SubscribeTo(stage.Partition(p, 0)) // Subscribe
				runs = append(runs, start(t.Context(), another))
				time.Sleep(time.Minute)
				quick.Abort(errBoom)
				stopping, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var stopped *stage.StopError
				require.ErrorAs(t, p.Stop(stopping), &stopped)
				require.Equal(t, []string{"p/Dispatcher"}, namesOf(stopped.Stuck))
				require.Equal(t, []string{"p/Dispatcher"}, stuckAt(t, runs[0].wait(t)))
				abortAll(t, runs...)
				closed(t, p, slow, quick, another)
				close(release)
				synctest.Wait()
				require.Empty(t, p.Stats().Stuck)
				closed(t, p, slow, quick, another)
			})
		})
	}
}

// Where and the function of a partition are called by dispatchers of this package.
func TestStuckFunctionOfADispatcher(t *testing.T) {
	for name, wire := range map[string]func(p *stage.Producer[int], c, d *sink, stuck func()){
		"Where": func(p *stage.Producer[int], c, d *sink, stuck func()) {
			p.DispatchWith(stage.Broadcast)
			c.SubscribeTo(p)
			d.SubscribeTo(stage.Where[int](p, func(int) bool { stuck(); return true }))
		},
		"PartitionBy": func(p *stage.Producer[int], c, d *sink, stuck func()) {
			p.DispatchWith(stage.PartitionBy(func(n int) int { stuck(); return n % 2 }, 0, 1))
			c.SubscribeTo(stage.Partition(p, 0))
			d.SubscribeTo(stage.Partition(p, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				release := make(chan struct{})
				calls := 0
				p := stage.FromSlice(upTo(100), stage.Name("p"))
				c, d := newSink(0), newSink(0)
				wire(p, c, d, func() {
					if calls++; calls > 7 {
						<-release
					}
				})
				pipeline := stage.NewPipeline(p, c, d)
				run := start(t.Context(), pipeline)
				require.Equal(t, "Dispatcher", p.Stats().Callback)
				pipeline.Abort(nil)
				require.Equal(t, []string{"p/Dispatcher"}, stuckAt(t, run.wait(t)))
				closed(t, pipeline)
				before := p.Stats()
				close(release)
				synctest.Wait()
				require.Empty(t, p.Stats().Stuck)
				after := p.Stats()
				before.Stuck, before.State, before.At = nil, after.State, after.At
				require.Equal(t, before, after)
				require.LessOrEqual(t, calls, 100, "it goes on to its own end, and is heard by nobody")
			})
		})
	}
}
