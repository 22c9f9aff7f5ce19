package explore

import (
	"fmt"
	"slices"
)

// Choices enumerates the runs of a program that is a function of its choices: the program is run again and again,
// each time with the next sequence of answers, depth first, until [Choices.Next] says that there are no more.
//
//	for c := NewChoices(2); ; {
//		run(c)
//		if !c.Next() {
//			break
//		}
//	}
//
// Of a schedule, whose runs grow exponentially with its length, it enumerates those with few delays. Without any
// the turns go round: who is at work goes on until it waits for something, then comes the next that can, in the
// order in which they first came. A delay passes over one of them, once. Most faults of concurrent programs need
// one or two.
type Choices struct {
	delays int // most in one run; less than 0: no limit
	used   int // in this run
	last   int // number of who had the last turn
	number map[string]int

	path []choice // of this run, and of the one before as far as it is the same
	at   int

	Runs    int // so far, this one included
	Longest int // most choices in one run
}

type choice struct {
	options, taken int
}

// NewChoices returns choices with at most so many delays in a run, any number if less than 0.
func NewChoices(delays int) *Choices {
	return &Choices{delays: delays, number: map[string]int{}, Runs: 1}
}

// Choose returns a number from 0 to n-1: 0 the first time.
func (c *Choices) Choose(n int) int {
	if n < 2 {
		return 0
	}
	if c.at == len(c.path) {
		c.path = append(c.path, choice{options: n})
	}
	now := c.path[c.at]
	if now.options != n {
		panic(fmt.Sprintf("explore: the program is not a function of its choices: choice %d has %d options, and had %d", c.at, n, now.options))
	}
	c.at++
	c.Longest = max(c.Longest, c.at)
	return now.taken
}

// Turn chooses who goes on among those that wait, and returns its index. Those that free names may come in at any
// point: that delays nobody. The first in turn comes first.
func (c *Choices) Turn(waiting []string, free func(name string) bool) int {
	var inTurn, anytime []int
	for i, name := range waiting {
		if _, known := c.number[name]; !known {
			c.number[name] = len(c.number)
		}
		if free(name) {
			anytime = append(anytime, i)
		} else {
			inTurn = append(inTurn, i)
		}
	}
	if len(inTurn) == 0 {
		return anytime[c.Choose(len(anytime))]
	}
	behind := func(i int) int { // how far it is from the last turn
		n := len(c.number)
		return (c.number[waiting[i]] - c.last + n) % n
	}
	slices.SortStableFunc(inTurn, func(a, b int) int { return behind(a) - behind(b) })
	if c.delays >= 0 {
		inTurn = inTurn[:min(len(inTurn), 1+c.delays-c.used)]
	}
	k := c.Choose(len(inTurn) + len(anytime))
	if k >= len(inTurn) {
		return anytime[k-len(inTurn)]
	}
	c.used += k
	c.last = c.number[waiting[inTurn[k]]]
	return inTurn[k]
}

// Next begins the next run; false if there is none.
func (c *Choices) Next() bool {
	c.path = c.path[:c.at]
	for len(c.path) > 0 {
		last := &c.path[len(c.path)-1]
		if last.taken++; last.taken < last.options {
			break
		}
		c.path = c.path[:len(c.path)-1]
	}
	if len(c.path) == 0 {
		return false
	}
	c.at, c.used, c.last = 0, 0, 0
	clear(c.number)
	c.Runs++
	return true
}

// Path returns the answers of this run.
func (c *Choices) Path() []int {
	var taken []int
	for _, p := range c.path[:c.at] {
		taken = append(taken, p.taken)
	}
	return taken
}
