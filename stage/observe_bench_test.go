package stage_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/go-genstage/genstage/stage"
)

const afterALook = "after a look at Stats"

// What looking costs: one operation is one batch from a producer to a consumer that are both looked at. "times
// off" is the ratio to the first line of its group, taken in the same run.
func BenchmarkObserve(b *testing.B) {
	for _, size := range []struct {
		name     string
		max, min int
	}{{"batches of 500", 1000, 500}, {"batches of 1", 1, 0}} {
		off := 0.0
		run := func(name string, options ...stage.Option) {
			b.Run(size.name+", "+name, func(b *testing.B) {
				var producer []stage.ProducerOption
				var consumer []stage.ConsumerOption
				for _, o := range options {
					producer, consumer = append(producer, o), append(consumer, o)
				}
				events := size.max - size.min
				p := stage.FromSlice(make([]int, b.N*events), producer...)
				look := name == afterALook
				var c *stage.Consumer[int]
				c = stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error {
					if look {
						look = false
						p.Stats()
						c.Stats()
					}
					return nil
				}, consumer...)
				c.SubscribeTo(p, stage.MaxDemand(size.max), stage.MinDemand(size.min))
				pipeline := stage.NewPipeline(p, c)
				b.ReportAllocs()
				b.ResetTimer()
				if err := pipeline.Run(context.Background()); err != nil {
					b.Error(err)
				}
				b.StopTimer()
				if spent := float64(b.Elapsed().Nanoseconds()) / float64(b.N); name == "off" {
					off = spent
				} else if off > 0 {
					b.ReportMetric(spent/off, "times_off")
				}
			})
		}
		run("off")
		run("off again")
		run("callbacks", stage.ObserveCallbacks(func(stage.Callback) {}))
		run("profile", stage.Profile())
		run(afterALook)
		run("messages", stage.Observe(func(stage.Message) {}))
		run("log, to nowhere", stage.LogTo(slog.New(slog.DiscardHandler)))
	}
}
