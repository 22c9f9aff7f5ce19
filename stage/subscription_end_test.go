package stage_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// docs/protocol.md, E1 to E3.

var modes = map[stage.CancelMode]string{
	stage.CancelPermanent: "permanent", stage.CancelTransient: "transient", stage.CancelTemporary: "temporary",
}

// pair is a producer and the stage under test, each of which runs alone.
type pair struct {
	up        *stage.Producer[int]
	upCancel  context.CancelFunc // of the producer's run
	upRun     *started
	self      stage.Stage
	selfRun   *started
	sub       *stage.Subscription
	cancelled told
	rest      []stage.Stage
}

// ends are the ways in which a subscription ends. reason is what the stage then ends with, if it
// does; nil for none.
var ends = []struct {
	name               string
	make               func(p *pair)
	kind               stage.CancellationKind
	reason             error
	permanent, transit bool // whether the stage ends, by mode; temporary never
}{
	{name: "completed", kind: stage.Down, permanent: true, make: func(p *pair) {
		_ = p.up.Tell(func(context.Context) ([]int, error) { return []int{7}, stage.ErrDone })
	}},
	{name: "stopped", kind: stage.Down, permanent: true, make: func(p *pair) { _ = p.up.Stop(context.Background()) }},
	{name: "Cancel(nil)", kind: stage.Cancelled, permanent: true, make: func(p *pair) { _ = p.sub.Cancel(nil) }},
	{
		name: "Cancel(ErrShutdown)", kind: stage.Cancelled, reason: stage.ErrShutdown, permanent: true,
		make: func(p *pair) { _ = p.sub.Cancel(fmt.Errorf("enough: %w", stage.ErrShutdown)) },
	},
	{name: "Abort(nil)", kind: stage.Down, reason: stage.ErrShutdown, permanent: true, make: func(p *pair) { p.up.Abort(nil) }},
	{
		name: "ErrShutdown", kind: stage.Down, reason: stage.ErrShutdown, permanent: true,
		make: func(p *pair) {
			_ = p.up.Tell(func(context.Context) ([]int, error) { return nil, stage.ErrShutdown })
		},
	},
	{
		name: "its deadline", kind: stage.Down, reason: context.DeadlineExceeded, permanent: true,
		make: func(*pair) { time.Sleep(2 * time.Hour) },
	},
	{
		name: "some deadline", kind: stage.Down, reason: context.DeadlineExceeded, permanent: true, transit: true, // not that of its run
		make: func(p *pair) {
			_ = p.up.Tell(func(context.Context) ([]int, error) { return nil, context.DeadlineExceeded })
		},
	},
	{name: "its ctx", kind: stage.Down, reason: context.Canceled, permanent: true, make: func(p *pair) { p.upCancel() }},
	{
		name: "Cancel(error)", kind: stage.Cancelled, reason: errBoom, permanent: true, transit: true,
		make: func(p *pair) { _ = p.sub.Cancel(errBoom) },
	},
	{
		name: "failed", kind: stage.Down, reason: errBoom, permanent: true, transit: true,
		make: func(p *pair) { _ = p.up.Tell(func(context.Context) ([]int, error) { return nil, errBoom }) },
	},
	{
		name: "some ctx", kind: stage.Down, reason: context.Canceled, permanent: true, transit: true, // not that of its run
		make: func(p *pair) {
			_ = p.up.Tell(func(context.Context) ([]int, error) { return nil, context.Canceled })
		},
	},
	{
		name: "killed", kind: stage.Down, reason: stage.ErrKilled, permanent: true, transit: true,
		make: func(p *pair) { p.up.Abort(stage.ErrKilled) },
	},
}

func newPair(t *testing.T, kind string, mode stage.CancelMode) *pair {
	p := &pair{up: silent(stage.Name("up"))}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	p.upCancel = cancel
	p.upRun = start(ctx, p.up)
	onSubscribe := stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		p.sub = sub
		return nil
	})
	if kind == "consumer" {
		c := newSink(0, stage.Name("self"), onSubscribe)
		p.cancelled.onCancel(c.Consumer)
		c.SubscribeTo(p.up, stage.Cancel(mode), stage.MaxDemand(10))
		p.self = c
	} else {
		pc := relay(0, stage.Name("self"), onSubscribe)
		pc.OnCancel(func(_ context.Context, _ *stage.Subscription, c stage.Cancellation) ([]int, error) {
			p.cancelled.add(c)
			return nil, nil
		})
		pc.SubscribeTo(p.up, stage.Cancel(mode), stage.MaxDemand(10))
		down := newSink(0, stage.Name("down"))
		down.SubscribeTo(pc)
		p.self, p.rest = pc, []stage.Stage{down}
	}
	p.selfRun = start(t.Context(), p.self)
	p.rest = append(p.rest, p.up, p.self)
	return p
}

func TestSubscriptionEndAlone(t *testing.T) {
	testkit.Report(t, "T31", 2*len(modes)*len(ends))
	for _, kind := range []string{"consumer", "producer-consumer"} {
		for mode, modeName := range modes {
			for _, end := range ends {
				t.Run(fmt.Sprintf("%s/%s/%s", kind, modeName, end.name), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						p := newPair(t, kind, mode)
						var rest []*started
						if kind != "consumer" {
							rest = append(rest, start(t.Context(), p.rest[0]))
						}
						require.NotNil(t, p.sub)
						end.make(p)
						time.Sleep(time.Second)

						all := p.cancelled.list()
						require.Len(t, all, 1, "OnCancel is called once, whatever the end")
						require.Equal(t, end.kind, all[0].Kind)
						if end.reason == nil {
							require.NoError(t, all[0].Reason)
						} else {
							require.ErrorIs(t, all[0].Reason, end.reason)
						}
						require.ErrorIs(t, p.sub.Cancel(nil), stage.ErrEnded)

						endsToo := mode == stage.CancelPermanent && end.permanent || mode == stage.CancelTransient && end.transit
						require.Equal(t, !endsToo, p.selfRun.running())
						switch {
						case !endsToo:
							ledger(t, p.rest...)
							require.NoError(t, p.self.Stop(t.Context()))
							require.NoError(t, p.selfRun.wait(t))
						case end.reason == nil:
							require.NoError(t, p.selfRun.wait(t))
						default:
							require.ErrorIs(t, p.selfRun.wait(t), end.reason)
						}
						abortAll(t, append(rest, p.upRun)...)
						p.upCancel()
						closed(t, p.rest...)
					})
				})
			}
		}
	}
}

// An error of a member that fell with its neighbour names the stage where it began.
func TestSubscriptionEndKeepsWhereItBegan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t, "producer-consumer", stage.CancelPermanent)
		down := start(t.Context(), p.rest[0])
		p.up.Abort(errBoom)
		var first *stage.Error
		require.ErrorAs(t, down.wait(t), &first)
		require.Equal(t, "up", first.Stage)
		require.Equal(t, errBoom, first.Err)
		require.Equal(t, p.upRun.wait(t), p.selfRun.wait(t))
		p.upCancel()
		closed(t, p.rest...)
	})
}

func TestTwoPermanentUpstreams(t *testing.T) {
	for _, test := range []struct {
		name   string
		third  stage.CancelMode // of an upstream that goes on
		end    func(second *stage.Producer[int])
		err    error
		leaves bool // the third upstream sees the stage end
	}{
		{name: "both complete", end: completeIt},
		{name: "both complete, a temporary one lives", third: stage.CancelTemporary, end: completeIt, leaves: true},
		{name: "both complete, a transient one lives", third: stage.CancelTransient, end: completeIt, leaves: true},
		{name: "the second fails", end: func(p *stage.Producer[int]) { p.Abort(errBoom) }, err: errBoom},
		{name: "the second is shut down", end: func(p *stage.Producer[int]) { p.Abort(nil) }, err: stage.ErrShutdown},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var gone told
				a, b, x := silent(), silent(), silent(gone.onGone())
				c := newSink(0)
				var completes count
				c.OnComplete(func(context.Context) error {
					completes.Add(1)
					return stage.ErrDone
				})
				c.SubscribeTo(a)
				c.SubscribeTo(b)
				if test.leaves {
					c.SubscribeTo(x, stage.Cancel(test.third))
				}
				runs := runAlone(t.Context(), a, b, x)
				run := start(t.Context(), c)
				completeIt(a)
				require.True(t, run.running(), "the first complete upstream ends nothing")
				require.Zero(t, completes.Load())
				test.end(b)
				if test.err != nil {
					require.ErrorIs(t, run.wait(t), test.err)
					require.Zero(t, completes.Load())
				} else {
					require.NoError(t, run.wait(t))
					require.EqualValues(t, 1, completes.Load())
				}
				time.Sleep(time.Second)
				if test.leaves {
					require.Equal(t, []error{nil}, reasons(gone.list()))
				}
				abortAll(t, runs...)
				want := []int{1, 2, 3}
				if test.err == nil {
					want = append(want, want...)
				}
				require.Equal(t, want, c.events(), "what came before the end is handled")
				closed(t, a, b, x, c)
			})
		})
	}
}

// completeIt has p emit what it must and end.
func completeIt(p *stage.Producer[int]) {
	_ = p.Tell(func(context.Context) ([]int, error) { return []int{1, 2, 3}, stage.ErrDone })
}

// A dynamic subscription to a stage that does not run is acted on by its mode.
func TestSubscribeToNoStage(t *testing.T) {
	for mode, name := range modes {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var subscribed count
				var ended told
				c := newSink(0, stage.OnSubscribe(func(context.Context, *stage.Subscription) error {
					subscribed.Add(1)
					return nil
				}))
				ended.onCancel(c.Consumer)
				run := start(t.Context(), c)
				sub, err := c.Subscribe(t.Context(), silent(), stage.Cancel(mode))
				require.ErrorIs(t, err, stage.ErrNoStage)
				require.ErrorIs(t, err, stage.ErrNotRunning)
				require.Nil(t, sub)
				require.Equal(t, mode == stage.CancelTemporary, run.running())
				if mode != stage.CancelTemporary {
					require.ErrorIs(t, run.wait(t), stage.ErrNoStage)
				}
				require.Len(t, ended.list(), 1)
				require.Zero(t, subscribed.Load(), "nobody accepted it")
				abortAll(t, run)
				closed(t, c)
			})
		})
	}
}

// A refusal is the answer to its caller and changes nothing else, also when the caller has gone.
func TestRefusedSubscribeChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent(stage.OnConsumer(func(context.Context, *stage.Subscription) error {
			time.Sleep(time.Minute)
			return fmt.Errorf("full: %w", stage.ErrRefused)
		}))
		c := newSink(0)
		runs := runAlone(t.Context(), p, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Subscribe(ctx, p)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Hour)
		_, err = c.Subscribe(t.Context(), p)
		require.ErrorIs(t, err, stage.ErrRefused)
		require.True(t, runs[1].running())
		require.Empty(t, c.Stats().Upstreams)
		abortAll(t, runs...)
		closed(t, p, c)
	})
}

// Subscribe says what became of OnSubscribe.
func TestSubscribeReturnsTheFailureOfOnSubscribe(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := silent()
				c := newSink(0, stage.OnSubscribe(func(context.Context, *stage.Subscription) error { return f.does() }))
				runs := runAlone(t.Context(), p, c)
				sub, err := c.Subscribe(t.Context(), p)
				require.Error(t, err)
				require.Nil(t, sub)
				_ = runs[1].wait(t)
				abortAll(t, runs...)
				closed(t, p, c)
			})
		})
	}
}

// OnSubscribe may refuse one subscription: the stage and its other subscriptions live.
func TestOnSubscribeRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := silent(stage.Name("a")), silent(stage.Name("b"))
		var ended told
		c := newSink(0, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
			if sub.Producer() == "a" {
				return fmt.Errorf("not a: %w", stage.ErrRefused)
			}
			return nil
		}))
		ended.onCancel(c.Consumer)
		c.SubscribeTo(a)
		c.SubscribeTo(b)
		runs := runAlone(t.Context(), a, b, c)
		require.True(t, runs[2].running())
		require.Len(t, c.Stats().Upstreams, 1)
		require.Len(t, ended.list(), 1)
		require.ErrorIs(t, ended.list()[0].Reason, stage.ErrRefused)
		completeIt(b)
		require.NoError(t, runs[2].wait(t))
		abortAll(t, runs...)
		closed(t, a, b, c)
	})
}

// A consumer that ends between its Cancel and the answer still hands back what it has not begun.
func TestCrashAfterCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(10), stage.KeepRunning())
		c := stage.NewConsumer(func(_ context.Context, _ []int, sub *stage.Subscription) error {
			_ = sub.Cancel(nil)
			time.Sleep(time.Second) // the producer has dropped the subscription
			return errBoom
		})
		c.SubscribeTo(source, stage.MaxDemand(8), stage.MinDemand(6))
		runs := runAlone(t.Context(), source, c)
		require.ErrorIs(t, runs[1].wait(t), errBoom)
		require.EqualValues(t, 6, c.Stats().Input.HandedBack)
		survivor := newSink(0)
		survivor.SubscribeTo(source)
		require.NoError(t, start(t.Context(), survivor).wait(t))
		require.NoError(t, runs[0].wait(t))
		require.Equal(t, []int{2, 3, 4, 5, 6, 7, 8, 9}, survivor.events())
		closed(t, source, c, survivor)
	})
}

// ErrDone in the middle of a delivery: what is behind it comes back before the source completes.
func TestDoneConsumerHandsBackBeforeTheSourceCompletes(t *testing.T) {
	for range 100 {
		bubble(t, func(t *testing.T) {
			source := stage.FromSlice(upTo(30), stage.Accumulating())
			quick := newSink(0)
			c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error {
				time.Sleep(time.Second)
				return stage.ErrDone
			})
			for _, c := range []*stage.Consumer[int]{c, quick.Consumer} {
				c.SubscribeTo(source, stage.MaxDemand(8), stage.MinDemand(6))
			}
			runs := runAlone(t.Context(), c, quick, source)
			synctest.Wait() // both have asked
			require.NoError(t, source.Forward())
			for _, r := range runs {
				require.NoError(t, r.wait(t))
			}
			require.Len(t, quick.events(), 28)
			closed(t, source, c, quick)
		})
	}
}
