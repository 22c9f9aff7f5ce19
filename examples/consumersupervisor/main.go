// Consumersupervisor counts to twelve and gives each number to a goroutine of its own, at most four
// at a time: GenStage's example of a ConsumerSupervisor, with a view of its slots. Try it with -min.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-genstage/genstage/stage"
)

func main() {
	limit := flag.Int("max", 4, "the most children at a time")
	refill := flag.Int("min", 0, "how many must end before the supervisor asks again")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *limit, *refill); err != nil {
		fmt.Fprintln(os.Stderr, "consumersupervisor:", err)
		os.Exit(1)
	}
}

// counter emits the numbers from next to last.
type counter struct{ next, last int } // owned by the goroutine of its stage

func (c *counter) produce(_ context.Context, demand int) ([]int, error) {
	var events []int
	for ; len(events) < demand && c.next <= c.last; c.next++ {
		events = append(events, c.next)
	}
	if c.next > c.last {
		return events, stage.ErrDone
	}
	return events, nil
}

// printer starts a child for each number, and prints what becomes of them.
type printer struct {
	*stage.ConsumerSupervisor[int]

	w     io.Writer // owned by the goroutine of the stage
	tries map[int]int
}

// start is called on the stage's goroutine for one number after the other. The function that it
// returns is the child: it runs on a goroutine of its own.
func (p *printer) start(_ context.Context, number int) (func(context.Context) error, error) {
	p.tries[number]++
	try := p.tries[number]
	p.print(fmt.Sprintf("%2d begins", number))
	return func(ctx context.Context) error {
		result := work(ctx, number, try)
		// What is the stage's is done on the stage's goroutine: p needs no lock.
		return errors.Join(result, p.Do(ctx, func(context.Context) error {
			if result != nil {
				p.print(fmt.Sprintf("%2d fails", number))
			} else {
				p.print(fmt.Sprintf("%2d ends", number))
			}
			return nil
		}))
	}, nil
}

// gaveUp is called when a number has failed for good.
func (p *printer) gaveUp(_ context.Context, number, attempts int, cause error) {
	p.print(fmt.Sprintf("%2d is given up after %d attempts: %v", number, attempts, cause))
}

// print prints what has happened and the numbers whose children have not ended.
func (p *printer) print(what string) {
	fmt.Fprintf(p.w, "%-12s", what)
	for _, child := range p.Children() {
		fmt.Fprintf(p.w, " %d", child.Event)
	}
	fmt.Fprintln(p.w)
}

var errOdd = errors.New("an odd failure")

// work takes a while. 5 fails the first time, and 9 always.
func work(ctx context.Context, number, try int) error {
	select {
	case <-time.After(time.Duration(100+number*91%230) * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	if number == 5 && try == 1 || number == 9 {
		return errOdd
	}
	return nil
}

// run wires the two stages and runs them until every number is done, or given up.
func run(ctx context.Context, w io.Writer, limit, refill int) error {
	numbers := stage.NewProducer((&counter{next: 1, last: 12}).produce)
	p := &printer{w: w, tries: map[int]int{}}
	p.ConsumerSupervisor = stage.StartWith(p.start, stage.Restart(stage.RestartTransient), stage.MaxAttempts(2))
	p.OnDeadLetter(p.gaveUp)
	p.SubscribeTo(numbers, stage.MaxDemand(limit), stage.MinDemand(refill))

	if err := stage.Run(ctx, numbers, p); err != nil {
		return err
	}
	in := p.Stats().Input
	fmt.Fprintf(w, "%d received, %d handled, %d failed\n", in.Received, in.Handled, in.Failed)
	return nil
}
