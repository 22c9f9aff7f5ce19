// Package hop is the seam through which a simulator decides which goroutine of the library goes on next.
//
// A run that was started with a context of [With] asks before each message, before each step of its end and
// after each park whether it is its turn. So at any moment one goroutine is at work, and the schedule is a
// function of what the simulator draws. Without one, a run pays a nil check.
//
// What the library draws at random, it draws from the simulator as well ([Draw]).
//
// It knows goroutines and turns; it must not know what they do.
package hop

import (
	"context"
	"math/rand/v2"
)

// Schedule hands out turns. Join is called by the goroutine that starts another one, or that is about to act
// itself, with the name of who will wait for turns; wait blocks until it is its turn. Between two calls of wait
// a goroutine may do what it likes, parking included: its turn ends when it parks or ends.
// Draw returns a random number from 0 to below-1; it is called by who is at work.
type Schedule interface {
	Join(name string) (wait func())
	Draw(below int64) int64
}

type key struct{}

// With returns a context whose runs keep to s.
func With(ctx context.Context, s Schedule) context.Context {
	return context.WithValue(ctx, key{}, s)
}

// everywhere is the schedule of runs whose context has none, but for what is drawn; nil but in tests.
var everywhere Schedule

// Everywhere has all runs keep to s whose context has no schedule of its own. It is called before the first run.
func Everywhere(s Schedule) { everywhere = s }

// Join has name take part in the schedule of ctx. It returns nil if there is none.
func Join(ctx context.Context, name string) (wait func()) {
	s, ok := ctx.Value(key{}).(Schedule)
	if !ok {
		s = everywhere
	}
	if s == nil {
		return nil
	}
	return s.Join(name)
}

// Turn is Join for who goes on in any case: without a schedule, wait returns at once. It is for steps that are
// rare, not for each message.
func Turn(ctx context.Context, name string) (wait func()) {
	if wait = Join(ctx, name); wait == nil {
		return func() {}
	}
	return wait
}

// Draw returns what draws a random number below another one: from the schedule of ctx, or from everybody's source.
func Draw(ctx context.Context) func(below int64) int64 {
	if s, ok := ctx.Value(key{}).(Schedule); ok {
		return s.Draw
	}
	return rand.Int64N
}
