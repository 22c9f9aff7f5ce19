// Package window divides a stream into windows and says when the result of each one is to be looked at.
//
// It is a plain value: no goroutine, lock, clock or channel. Its owner passes the time in, calls it from one goroutine, and sets one timer for
// [Engine.Next]. It knows neither stages nor how the accumulator of a window is made into events.
//
// Four terms, as the field uses them. A window is a set of events: all of them, n of them, or those of a span of time. A pane is one look at a
// window's accumulator; a window has at least one, the final one, and more if triggers or late events ask for them. The watermark is the event
// time before which no more events are expected. Lateness is how long after its end, in event time, a window goes on taking events.
//
// The rules, each of which a test holds:
//
//   - A window exists from its first event on. One without an event is never made, never emitted, and costs nothing, however far time jumps.
//   - A window of event time ends when the watermark has reached its end, and is closed when the watermark has reached its end plus the lateness.
//     A window of processing time ends with its span, one of n events with its n-th event, the global one with the stream.
//   - Each window has exactly one final pane, the last one. Also the end of the stream brings it.
//   - An event whose window is closed is late: it is counted and handed out, it changes no window.
//   - A trigger fires only for a window that has changed since its last pane.
//   - After a pane that is not the final one a window goes on with the accumulator that its owner gives back, or with a fresh one if it discards.
//     No trigger clears anything by itself.
//   - A source that is silent holds back what another one has come to for the idle time, from then on, and no longer. How long it was silent before
//     does not count, so that after a pause of all of them the first one to speak does not overtake the others.
//   - What the watermark brings comes in the order in which it was due, so that final panes are in order of their windows; so are the panes of one
//     trigger.
//
// What is not here has its place: windows that slide are one more assigner, which returns several windows for an event. Windows that merge
// (sessions) need an assigner and a function that merges two accumulators.
package window
