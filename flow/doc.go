// Package flow computes over streams of values on several stages at once: it turns a description
// of the computation (take these lines, split them, count the words) into a pipeline of package
// stage, with the demand, the failure rules and the completion of that package.
//
// # Flows
//
// A [Flow] is a description, not a running thing. It is an immutable value: every operation
// returns a new flow and leaves the one it was given as it was. Nothing happens until a flow is
// run, and it may be run any number of times, also by several goroutines at once, as far as its
// sources can be read again.
//
//	lines := flow.FromSlice([]string{"roses are red", "violets are blue"})
//	words := flow.FlatMap(lines, strings.Fields)
//	long := words.Filter(func(w string) bool { return len(w) > 3 })
//	got, err := long.Collect(ctx) // roses, violets, blue, in any order
//
// Operations that keep the type of the values are methods, the others are functions, since a Go
// method cannot have type parameters of its own. No call needs a type argument.
//
// # Layers
//
// A flow runs in layers. A layer is a number of equal stages that share its input: as many as
// [Stages] says, by default one for each processor (GOMAXPROCS). The operations that follow each
// other in a layer become one function, which each of its stages applies to the batches of events
// that it receives: three maps cost one hop between stages, not three. A layer begins
//
//   - at a source: [FromSlice], [FromSeq], [FromSeq2], [FromChannel], [Lines], [FromProducers],
//     [FromStages]
//   - where events change hands: [Partition], [Flow.PartitionWith], [Flow.Shuffle], [Flow.Broadcast],
//     [Merge], [Through]
//   - where something must come together in one stage: [Departition], [Flow.Take], and the
//     operations made of them ([Count], [Sum], [TopN])
//   - where equal keys must meet: [GroupBy], [UniqBy], [BatchBy]
//
// Each of these takes the options of the layer that it begins; those that take any number of arguments (FromProducers,
// FromStages, Merge) do not: give the options to a Shuffle behind them. [Flow.Explain] says which stages
// would be started, and what each would ask of whom.
//
// The functions given to operations are called on the goroutines of the layer that these stand in: in each stage one after the other, by
// several stages at once. What they share needs a lock; an accumulator of [Reduce] is one stage's own.
//
// # Order
//
// The stages of a layer work at the same time, so the results of a layer of several stages come
// in any order. With [Ordered], the results of a layer's operations come in the order of its input;
// a layer of one stage keeps the order anyway.
//
// # Keys and reducing
//
// [Reduce] folds the events of each stage into an accumulator of that stage. For the result to be
// right for a key, all its events must come to the same stage: [Partition] sees to that, and GroupBy
// and UniqBy begin a partition of their own. Reduce gives a [Reduction], which says nothing until
// something triggers it, at the latest the end of the input. What it then emits is said next:
// the accumulator ([Reduction.EmitState]), its elements ([EmitEach], [EmitPairs]), whatever a function
// makes of it ([OnTrigger]), or nothing ([Reduction.EmitNothing]). [Departition] merges the accumulators
// of all stages into one.
//
//	counts := flow.Reduce(words,
//		func() map[string]int { return map[string]int{} },
//		func(counts map[string]int, w string) map[string]int { counts[w]++; return counts })
//	total := flow.Departition(counts, newCounts, add) // a Reduction again, of one stage
//
// A stage that has received nothing emits nothing.
//
// # Windows
//
// What has no end cannot be reduced to its end. [Windows] divide the values that each stage of a layer receives, and Reduce
// then has an accumulator for each window: [Flow.CountWindows] of n values, [Flow.FixedWindows] by a time that the values
// have themselves, [Flow.PeriodicWindows] by the time at which they come. [Flow.GlobalWindow] is the one that a flow has anyway.
//
//	perHour := flow.Reduce(
//		flow.Partition(clicks, Click.Page).FixedWindows(time.Hour, Click.Time, flow.Disorder(time.Minute)),
//		newCounts, count)
//
// A window is emitted when it is closed, if it has a value at all; a leap over many windows costs nothing. To look at it earlier, give it
// triggers: [Windows.TriggerEvery], [Windows.TriggerPeriodically], [Windows.TriggerFunc], [Windows.TriggerBefore],
// [Windows.TriggerOn]. [OnTrigger] is told of which window and why, and says with what the window goes on.
//
// With fixed windows, three times say how long to wait. [Disorder]: how far the values of a source may be out of order. [Idle]: how
// long to wait for a source that is silent. [Lateness]: how long to correct a window that has been emitted. What comes later still is
// counted, and handed to [Windows.OnLate].
//
// # Failure
//
// A function that may fail ([MapErr], [FlatMapErr], [MapBatch], [Flow.ForEach]) returns an error. By default the
// first error ends the flow: [Flow.Run] and the others return it, as an [*ItemError] that names the item, the
// operation and the stage and wraps the cause, and no result. [Flow.OnError] has the operations
// behind it try again, skip the item, or hand it to a function of dead letters instead. A panic
// always ends the flow, as a [*stage.PanicError]. There is never a part of the result with a nil error, unless
// you said so: skipped items, dead letters, bounded buffers, closed windows, and stages of
// your own that have had enough ([Through], [Into]) leave values out. The
// end of the context ends the flow, with the context's cause; no goroutine is left behind.
//
// A description that cannot be right, as an option out of range or one without use where it is given, is an error of running it,
// which wraps [stage.ErrInvalidOption], and nothing is begun. [Flow.Explain] says the same, but for the
// options that are given to what runs the flow. Only a nil function, channel or stage panics, where it is given.
//
// # Running
//
// [Flow.Collect] returns all results, [Flow.Seq] ranges over them (a break ends the flow), [Flow.ForEach] calls a
// function, and [Flow.Run] is for effects alone. [Flow.Pipeline] is the flow as a stage: it runs in a
// pipeline beside others, or under whatever supervises a Run(ctx) error. [Into] feeds consumers of
// one's own, [Source] is a source that any consumer can subscribe to.
//
// # When not to use it
//
// For what fits into one loop, write the loop. For a number of independent calls whose results
// are wanted in a slice, an errgroup with a limit is shorter. Where stages differ in what they do,
// hold resources or are talked to, use package stage. A flow is for data that is too much for one
// processor, or too slow to come for a slice, and for computations by key and by window.
package flow
