// Package sim runs random pipelines under random faults and random schedules, in synctest bubbles, and checks
// the library's promises at every point at which nothing moves.
//
// A seed is the whole run: it expands to [Options], which can be printed, and draws whatever is drawn while
// the pipeline runs. One goroutine at a time is at work (internal/hop/hoptest), so the same seed gives the same
// trace, byte for byte, whatever the machine does.
//
//	options.go    what a seed expands to
//	topology.go   stages from options; sources.go, relays.go, sinks.go: what their callbacks do
//	faults.go     what goes wrong inside of callbacks; storm.go: what is done from outside
//	schedule.go   whose turn it is
//	watch.go      what callbacks and messages are held against while it runs
//	check.go      what is held against Stats when nothing moves; classify.go: why nothing moves
//	states.go     states that a campaign must have reached
//	run.go        one seed; campaign.go: many. In CI 5,000, whose modes alternate; in the long run 20,000, each in both modes
package sim
