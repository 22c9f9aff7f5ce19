package stagetest_test

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
)

// The ledger of stages that have ended: of six events two were handled, one failed, and the rest went back to the source.
func ExampleFaultsAtEnd() {
	source := stage.FromSlice([]int{1, 2, 3, 4, 5, 6})
	worker := stage.ForEach(func(_ context.Context, n int) error {
		if n == 3 {
			return fmt.Errorf("cannot do %d", n)
		}
		return nil
	})
	worker.SubscribeTo(source, stage.MaxDemand(10), stage.MinDemand(9)) // begun one at a time
	_ = stage.Run(context.Background(), source, worker)

	in := worker.Stats().Input
	fmt.Println(in.Received, "=", in.Handled, "handled +", in.Failed, "failed +", in.HandedBack, "handed back")
	fmt.Println(len(stagetest.FaultsAtEnd(source.Stats(), worker.Stats())), "faults")

	stats := worker.Stats()
	stats.Input.Handled-- // a bug of ours
	stats.Stage = "worker"
	fmt.Println(stagetest.Faults(stats))
	// Output:
	// 6 = 2 handled + 1 failed + 3 handed back
	// 0 faults
	// ["worker": input: received 6, accounted for 5]
}
