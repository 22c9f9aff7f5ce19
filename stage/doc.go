// Package stage runs pipelines whose stages exchange demand: a consumer asks its producer for a
// number of events, and a producer never sends more than it was asked for. A slow consumer
// slows its source down by asking later; nothing piles up between them.
//
// What follows is a short course, in reading order.
//
// # Stages
//
// A stage is one goroutine with one mailbox and one state. There are four kinds:
//
//   - a [Producer] emits events when it is asked: [NewProducer], and ready-made [FromSlice], [FromSeq],
//     [FromSeq2], [FromChannel], [Lines] and [Poll]; a [Queue] is one that is fed from outside
//   - a [Consumer] receives events: [NewConsumer], [ForEach]
//   - a [ProducerConsumer] receives events of one type and emits events of another:
//     [NewProducerConsumer] or, where one event becomes many, [NewExpander]
//   - a [ConsumerSupervisor] receives events and starts a goroutine for each: [NewConsumerSupervisor],
//     [StartWith]
//
// What a stage does is a function, its callback. All callbacks of a stage are called on the
// stage's goroutine, one at a time: variables that only they use need no lock. What is optional
// is an option of the constructor ([Name], [OnInit], [BufferSize]) or, where it has to do with
// events, a method to be called before Run (OnComplete, OnCancel, OnDiscard).
//
// The value that a constructor returns is the stage itself: it stays the same over many runs. A
// stage may run again when it has ended; [OnInit] is where its state is made anew.
//
// # A first pipeline
//
// A counter, a stage that makes labels of its numbers, a printer:
//
//	// counter emits the integers in [next, end).
//	type counter struct{ next, end int } // owned by the stage goroutine
//
//	func (c *counter) produce(_ context.Context, demand int) ([]int, error) {
//		events := make([]int, 0, demand)
//		for len(events) < demand && c.next < c.end {
//			events = append(events, c.next)
//			c.next++
//		}
//		if c.next == c.end {
//			return events, stage.ErrDone // the events are delivered, then the stage ends
//		}
//		return events, nil
//	}
//
//	func main() {
//		numbers := stage.NewProducer((&counter{end: 6}).produce)
//		labels := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]string, error) {
//			var out []string
//			for _, n := range events {
//				out = append(out, fmt.Sprintf("#%d", n*2))
//			}
//			return out, nil
//		})
//		labels.SubscribeTo(numbers, stage.MaxDemand(4), stage.MinDemand(2))
//		printer := stage.NewConsumer(func(_ context.Context, events []string, _ *stage.Subscription) error {
//			fmt.Println(events)
//			return nil
//		})
//		printer.SubscribeTo(labels, stage.MaxDemand(2), stage.MinDemand(0))
//
//		fmt.Println(stage.Run(context.Background(), numbers, labels, printer))
//		// Output:
//		// [#0 #2]
//		// [#4 #6]
//		// [#8 #10]
//		// <nil>
//	}
//
// Consumers subscribe to producers, never the other way round. [Run] starts all stages, makes the
// subscriptions, and blocks until every stage has ended. This source has an end: it returns
// [ErrDone] with its last events, and Run returns nil when the printer has handled them. One
// without an end runs until ctx ends, which aborts, or somebody stops it ([Pipeline.Stop]), which
// drains; [RunUntil] drains when its context ends. The command examples/quickstart -trace prints every
// message of such a run.
//
// Run is short for [NewPipeline] and its Run. A [Pipeline] that is kept can be stopped, looked into and
// held by another pipeline or a supervisor; [Pipeline.Named] gives it the name that errors, logs and Stats show.
//
// # When not to add a stage
//
// A stage is for what happens at the same time as something else, waits for something else, or
// fails by itself. It is not a way to structure code: three functions called one after the other
// in one callback are faster, and easier to read, than three stages. Between two stages a batch
// and the ask for it cost about a microsecond, whatever the size of the batch; with a max
// demand of 1 that is the price of every event. If there is one source, a fixed number of workers
// and nothing to slow down, a channel or an errgroup with a limit will do.
//
// # Demand
//
// Each [Subscription] has its own demand. By default it is automatic, with two numbers:
// [MaxDemand] is the most events that are asked for and not handled, [MinDemand] says how few of
// them may be left before the consumer asks again. With max 1000 and min 500, the defaults:
//
//   - the consumer asks for 1000 as soon as it has subscribed
//   - the producer sends 1000, in one batch or in several, as it finds them
//   - the consumer's callback is given at most max-min events at a time: 500
//   - when it returns, 500 are left; that is min, so the consumer asks for 500 more, and handles
//     the other 500 while the producer works on those
//
// With max 10 and min 0 the callback is given ten, and the producer is asked for the next ten
// when they are handled: the two take turns. With max 1000 and min 750 and a producer that sends
// batches of 100, the consumer asks for 300 after every third batch: 900 and 800 are more than
// min, 700 is not.
//
// Max demand is also what a consumer may have bound to it while another one is idle: an event
// that was sent is not sent to anybody else. For long tasks choose 1 and min 0: an event is
// bound to a consumer that is free. For many small events leave the default: an ask and a
// wake-up are paid once per batch.
//
// A producer's callback is told how many events its consumers wait for, as a sum, beyond what it was told before. It may return
// fewer; then it owes the rest, is not called for it again, and emits it later by [Producer.Do]
// or [Producer.Tell]. Made with [Retry] it is called again with all that is open when somebody
// calls [Producer.Wake], and a [Poll] calls itself. Among several consumers a batch goes to the
// one with the most open demand, and among equals to the one that has waited longest.
//
// Events that come by themselves, from requests or callbacks of a driver, go into a [Queue]: Push blocks
// while it is full, so that back-pressure reaches whoever pushes. At the other end of a pipeline, [Events]
// makes a loop over a source out of a consumer: what its body does not get to is not asked for.
//
// A producer-consumer passes demand on by not working: it begins a batch only while its own
// consumers have asked for more than it has emitted. Until then at most max events per
// subscription wait in it. With [ProducerConsumer.OnDemand] it sees what its consumers ask for, may meet a
// part itself, as a cache does, and hold a part back, as a rate limiter does.
//
// # Buffering
//
// Events that are emitted and were not asked for wait in the stage's buffer, and are served
// before anything new is asked of the callback. That happens when a producer returns more than
// it was asked for, when something is emitted by Do or Tell, and when a producer-consumer turns
// one event into many. The buffer of a producer keeps 10,000 events ([BufferSize]); what does
// not fit is discarded: the oldest ([KeepLast]) or the newest ([KeepFirst]). OnDiscard gets the
// discarded events, Stats counts them, and a log line says when an episode of discarding begins.
// The buffer of a producer-consumer has no bound by default: what goes into it is bounded by its
// own demand, times what it makes of an event. Where that is much, take [NewExpander]: its function returns a
// sequence, which is pulled as consumers ask, so that a file can become a million lines and none of them waits.
//
// # Manual mode
//
// An automatic consumer asks again as soon as its callback has returned. When the work goes on
// elsewhere by then (a goroutine per event, sub-tasks given to other stages), that is too early.
// With [Manual] a subscription never asks by itself:
//
//   - [Subscription.Ask] asks, from any goroutine; the first ask is made in [OnSubscribe]
//   - [Subscription.Hold], in the callback, says that events are not finished when it returns; it
//     comes before the work is handed out, or a result may be home before it
//   - [Subscription.Tell] brings a result back to the stage's goroutine, in that run only
//   - [Subscription.Next] says that one held event is finished, and asks for one more
//
// Asks add up. Whatever is held keeps the stage from completing, and Stop waits for it. The
// example of [Subscription.Hold] is the whole pattern.
//
// # A goroutine per event
//
// When every event is a piece of work of its own (a download, a job), a [ConsumerSupervisor] does
// the asking and holding of manual mode: it starts a child, a goroutine, for each event, never more
// than max demand of a subscription at once, and each child that ends makes room for the next
// event. A child that fails does not end the stage: its event is counted as failed and given to
// OnDeadLetter, or the child is started again ([Restart], [MaxAttempts], [Backoff]). The
// documentation of [ConsumerSupervisor] says what min demand means there.
//
// # Dispatchers
//
// Who gets an event when a producer has several consumers is its dispatcher's business, set by
// [Producer.DispatchWith]:
//
//   - [Demand], the default: each event goes to one consumer, the one with the most open demand
//   - [Broadcast]: every consumer gets every event, at the pace of the slowest; [Where] lets a consumer
//     pick, [Lag] lets one fall behind without holding the others up
//   - [PartitionBy]: an event goes to the partition of its key, to which consumers subscribe by
//     [Partition]; with one consumer for each partition, all events of one key come to it, in order
//
// What DispatchWith takes is a [DispatcherFactory], as each run gets a fresh one. A dispatcher is a plain value and
// easy to test; [Dispatcher] says how to write another, and package stagetest checks it.
//
// # Budgets
//
// Max demand is the limit of one subscription. A [Budget] is one limit over many, of any stages: at most 20 downloads in all,
// or 2 GB in memory, whoever asks. Subscribe to [Charge] of a source, with a function that says what an event weighs:
//
//	memory := stage.NewBudget(2 << 30)
//	workers.SubscribeTo(stage.Charge(files, memory, func(f File) int64 { return f.Size }), stage.MaxDemand(20))
//
// An event is charged when it is dispatched, and its charge is returned when it is finished: the callback has returned,
// the child has ended, what was held is released. Both limits hold: demand says how many may come, the budget
// how many may be at work. What has no room waits its turn, in the producer. When the true size is known only later,
// [Subscription.Adjust] and [ChargedEvent.Adjust] correct it.
//
// # Subscriptions and failure
//
// SubscribeTo declares a subscription, which is made again in every run; faults in it, as an option
// out of range, come back from Run with the line of the call. Subscribe makes one now, on a
// running stage.
//
// A callback that returns an error, panics or calls [runtime.Goexit] ends its stage, and only
// that. Run returns the error wrapped in an [*Error] that names the stage, a panic as a
// [*PanicError], which has the stack. What was received and not begun goes back to the producers, who give it to
// somebody else; the batch in hand is counted as failed. The neighbours see their subscription
// end, and each consumer acts by the mode that it subscribed with:
//
//   - [CancelPermanent], the default: it ends too, with the same reason
//   - [CancelTransient]: it ends only when the producer failed
//   - [CancelTemporary]: it goes on
//
// In a pipeline a failure ends all the members, unless the stage that failed has subscribers and
// all of them are temporary. A producer whose consumers have all gone is ended ([KeepRunning]
// exempts it), and a consumer whose producers have all gone completes.
//
// # Supervision
//
// A [Supervisor] holds stages, pipelines and other supervisors, starts them in order, and starts again what fails:
//
//	sup := stage.NewSupervisor(stage.RestForOne, stage.MaxRestarts(3, 5*time.Second), stage.Backoff(10*time.Millisecond, time.Second))
//	sup.Add(source)
//	sup.Add(worker, stage.Restart(stage.RestartPermanent))
//	sup.AddFunc(func() stage.Stage { return newWorker() }) // another stage at each start
//	err := stage.Run(ctx, sup, sink)
//
// With [RestForOne], the default, a member is restarted together with those that were added after it; [OneForOne] and
// [OneForAll] are the other strategies. A member that runs again is the same stage with its state made anew by OnInit
// and its subscriptions made again. What it had not begun comes back from its producers: a crash loses the batch in
// hand. A consumer outside that is to outlive a restart of its producer subscribes with [CancelTemporary], and gets
// its subscription back. A member of a pipeline that ends alone, while the rest goes on, runs again only when the whole
// pipeline does. So no other member of that pipeline may depend on a stage outside that waits for the one which ended. When more restarts are needed than [MaxRestarts] allows, the supervisor fails.
//
// # Completion
//
// That nothing more will come is a message, too. It travels behind the last event through every
// stage. A stage is complete when all its permanent subscriptions are, everything received is
// handled and nothing is held. Then OnComplete is called, once: what it returns is emitted, so a
// stage that has collected something flushes it there. With ErrDone, or without OnComplete, the
// stage ends normally; with nil it stays, for Do and Tell, until a callback returns ErrDone.
//
// A producer that is done stays until its consumers have begun all events: until then one of them
// may fail, and hand back what it has not begun.
//
// # Stopping
//
// Stop drains: the sources are asked no more, and completion runs down from there; it returns
// when every stage has ended, with everything that was emitted handled. When its context ends
// first, it aborts the run and returns a [*StopError] that says what was left and whose callback
// was still running. [RunUntil] does that at the end of a context, as at a signal. Abort, and the end of the context given to Run, let the callbacks in
// progress return, and begin no other but [OnTerminate].
//
// Nothing in Go can end a callback that does not return although its context has ended. It is waited for as
// long as [Grace] says, 5 seconds by default, and then abandoned: Run returns an error that wraps [ErrStuck] and
// names it ([*StuckError]), the neighbours are told that the stage has ended, [Stats] lists it until it returns, and
// what it then returns goes nowhere. The stage can be run again when it has returned.
//
// # Looking inside
//
// Stats may be taken at any time, from any goroutine, without disturbing the stage. They count every event,
// and have a [State]: what the stage does, or waits for, and since when. [Explain] puts the Stats of a
// pipeline into words, down to the stage that keeps the others waiting:
//
//	producer "numbers": waits for demand of "labels", 1m30s
//	    demand: 0 of "labels"
//	producer-consumer "labels": waits for demand of "printer", 1m30s
//	    waiting: 4 not begun, 2 in the buffer
//	    demand: 0 of "printer"
//	consumer "printer": in its callback events, 1m30s
//	    waiting: 1 not begun, 1 in hand
//	It is up to "printer".
//
// To be told as it happens, give a stage observers, as many as you like:
//
//   - [Observe] is called with every message that the stage sends: the demand, the events, the ends
//   - [ObserveCallbacks] is called at the beginning and end of each callback, with the time it took:
//     enough for metrics
//   - [LogTo] logs both
//   - [Profile] labels goroutines for CPU profiles, and makes tasks and regions of execution traces
//
// A stage without them spends nothing on them.
//
// # Testing
//
// Stages work in a bubble of [testing/synctest]. There time is virtual, and synctest.Wait
// returns when every stage waits for something, so a test sees demand at rest and needs no
// tolerance:
//
//	synctest.Test(t, func(t *testing.T) {
//		var asked atomic.Int64
//		p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
//			asked.Add(int64(demand))
//			return make([]int, demand), nil
//		})
//		c := stage.ForEach(func(context.Context, int) error {
//			time.Sleep(time.Second) // no real second passes
//			return nil
//		})
//		c.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(5))
//		go stage.Run(t.Context(), p, c)
//
//		synctest.Wait()
//		// asked is 10: max demand
//		time.Sleep(5500 * time.Millisecond)
//		synctest.Wait()
//		// asked is 15: five are handled, and max-min more were asked for
//	})
//
// Package stagetest has probes for such tests: a producer that emits what the test says, a consumer that asks for what the
// test says. The ledger of [Stats] adds up at every such moment, no event is unaccounted for; stagetest.Ledger checks it.
package stage
