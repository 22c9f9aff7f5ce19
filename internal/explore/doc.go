// Package explore looks at everything that a few stages can do.
//
// [Search] visits every state of a [Model], a plain value. [New] makes one: stages reduced to the rules of their
// messages, over the accounts, the dispatchers and the buffer that production runs. A [Plan] says whether they are a
// producer with consumers or a chain, and what may happen to them at any point: cancels, crashes, Stop. What must hold
// is checked in every state, and where nothing can move any more, what must have been reached.
//
// [Choices] enumerates instead the schedules of what cannot be copied: the tests of this package run real stages under
// each of them.
package explore
