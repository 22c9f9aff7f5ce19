package stage

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheContextOfCallbacksIsAContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		deadline := time.Now().Add(time.Hour)
		outer, cancel := context.WithDeadline(context.WithValue(t.Context(), key{}, "value"), deadline)
		defer cancel()
		boom := errors.New("boom")
		p := NewProducer(func(ctx context.Context, _ int) ([]int, error) {
			require.Equal(t, "value", ctx.Value(key{}))
			require.NotNil(t, callerOf(ctx))
			require.Nil(t, ctx.Value("another key"))
			at, ok := ctx.Deadline()
			require.True(t, ok)
			require.Equal(t, deadline, at)
			require.NoError(t, ctx.Err())
			require.Contains(t, fmt.Sprint(ctx), "WithStage(source)")
			require.NotContains(t, fmt.Sprint(ctx), "mailbox", "not the whole run")

			const contexts = 100
			before := runtime.NumGoroutine()
			var cancels []func()
			for range contexts {
				inner, cancel := context.WithCancel(ctx)
				cancels = append(cancels, func() {
					cancel()
					require.ErrorIs(t, inner.Err(), context.Canceled)
				})
			}
			require.Less(t, runtime.NumGoroutine()-before, contexts/2, "it is known as one of package context; other stages have goroutines, too")
			for _, cancel := range cancels {
				cancel()
			}

			inner, cancel := context.WithCancel(ctx)
			defer cancel()
			told := make(chan error, 1)
			defer context.AfterFunc(ctx, func() { told <- context.Cause(ctx) })()
			callerOf(ctx).abort(&ending{reason: boom}) // as Abort does
			<-ctx.Done()
			require.ErrorIs(t, ctx.Err(), context.Canceled)
			require.ErrorIs(t, context.Cause(inner), boom)
			require.ErrorIs(t, <-told, boom)
			return nil, nil
		}, Name("source"))
		sink := NewConsumer(func(context.Context, []int, *Subscription) error { return nil })
		sink.SubscribeTo(p)
		require.ErrorIs(t, Run(outer, p, sink), boom)
	})
}
