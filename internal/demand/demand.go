// Package demand counts what a subscription has asked for.
//
// It knows max, min and what is outstanding, and when to ask again. It must not
// know channels, time or locks, nor who asks whom: its values are plain, and
// whoever owns one calls it from one goroutine.
package demand

import (
	"fmt"
	"math"
)

// Add returns a+b, or [math.MaxInt64] where the sum does not fit. It is the one
// place where demand is added, so that asking for more and more ends at "as
// much as there is" and never turns negative. Add panics if a or b is negative:
// demand never is.
func Add(a, b int64) int64 {
	if a|b < 0 {
		panic("demand: negative demand added")
	}
	if sum := a + b; sum >= 0 {
		return sum
	}
	return math.MaxInt64
}

// Account is the automatic side of a subscription: it says how much to ask for
// and when, so that at most max events are asked for and not handled, and so
// that an ask goes out once for every max-min events or fewer, not for each.
//
//	ask := account.Open(0)
//	for each arrival of n events:
//		for n > 0:
//			k := account.Chunk(n)
//			… the callback handles k events …
//			ask = account.Handled(k) // send it unless it is 0
//			n -= k
//
// The zero Account is of no use; [NewAccount] makes one.
type Account struct {
	max, min    int64
	outstanding int64
}

// NewAccount returns an account that asks for up to max events and again once
// min or fewer of them are outstanding. Until [Account.Open] it has asked for
// nothing. It panics unless max is at least 1 and min lies in [0, max): options
// are validated before they come here.
func NewAccount(max, min int) Account {
	if max < 1 || min < 0 || min >= max {
		panic(fmt.Sprintf("demand: account with max %d and min %d: max must be at least 1, min at least 0 and below max", max, min))
	}
	return Account{max: int64(max), min: int64(min)}
}

// Open begins the account, or begins it anew, and returns the first ask, which
// may be 0. held is the number of events that the consumer still holds from an
// earlier subscription to the same source, 0 as a rule. They take up room
// exactly as if they had been asked for here: the first ask is max-held, never
// below 0, and each of them is reported by [Account.Handled] when it is
// released. Not reporting them narrows the account for good; a caller that
// cannot report them opens with 0.
func (a *Account) Open(held int64) int64 {
	if held < 0 {
		panic("demand: account opened with a negative number of held events")
	}
	a.outstanding = max(a.max, held)
	return a.outstanding - held
}

// Chunk returns how many of n arrived events the next callback is given: at
// most max-min, so that the ask for the next ones is out before the last ones
// are used up.
func (a *Account) Chunk(n int) int {
	return min(n, int(a.max-a.min))
}

// Handled records that a callback has returned from n events, and returns how
// many to ask for now: if min or fewer are outstanding, as many as fill the
// account up to max again, otherwise 0. Events beyond what is outstanding do
// not count: nobody asked for them here.
func (a *Account) Handled(n int) int64 {
	if n < 0 {
		panic("demand: a negative number of events handled")
	}
	a.outstanding = max(0, a.outstanding-int64(n))
	if a.outstanding > a.min {
		return 0
	}
	ask := a.max - a.outstanding
	a.outstanding = a.max
	return ask
}

// Change sets other limits, as [NewAccount] does, and returns how many to ask for
// now: if the new min or fewer are outstanding, as many as fill the account up to
// the new max. What is outstanding beyond that stays so.
func (a *Account) Change(max, min int) int64 {
	changed := NewAccount(max, min)
	changed.outstanding = a.outstanding
	*a = changed
	if a.outstanding > a.min {
		return 0
	}
	return a.Handled(0)
}

// Outstanding returns how many events are asked for and not handled, those held
// from before included. It lies between 0 and max, or above max while more than
// max are held from before.
func (a *Account) Outstanding() int64 { return a.outstanding }

// Max returns the most events the account asks for.
func (a *Account) Max() int { return int(a.max) }

// Min returns the number of outstanding events at which the account asks again.
func (a *Account) Min() int { return int(a.min) }
