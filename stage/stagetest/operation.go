package stagetest

import (
	"fmt"
	"math"
	"strings"
)

// op is one operation on a dispatcher.
type op struct {
	kind opKind
	who  int   // of those that are subscribed, in a circle
	n    int64 // how many
}

type opKind uint8

const (
	opSubscribe opKind = iota
	opAsk
	opDispatch
	opCancel // and hand back n events of those that it was sent last
	opFlush
	opMark
	opIntrude // subscribe with a request that may be refused
	opRoom    // there is room for n events in the budget of one that is charged
	opStray   // ask and cancel for one that is not subscribed, ask for nothing and less
)

// decode makes an operation of three bytes.
func decode(a, b, c byte) op {
	kinds := [...]opKind{
		opSubscribe, opSubscribe, opAsk, opAsk, opAsk, opAsk, opDispatch, opDispatch, opDispatch, opDispatch,
		opCancel, opFlush, opFlush, opMark, opIntrude, opStray, opRoom, opRoom,
	}
	o := op{kind: kinds[int(a)%len(kinds)], who: int(b), n: int64(c % 24)}
	if o.kind == opAsk {
		switch {
		case c >= 253:
			o.n = math.MaxInt64 - int64(c-253)
		default:
			o.n++
		}
	}
	return o
}

// scene is a short case with a name.
type scene struct {
	name string
	ops  []op
}

var scenes = []scene{
	{"nobody is there", []op{{kind: opDispatch, n: 3}, {kind: opSubscribe}, {kind: opAsk, n: 5}, {kind: opFlush}, {kind: opDispatch, n: 3}}},
	{"nobody asked", []op{{kind: opSubscribe}, {kind: opDispatch, n: 3}, {kind: opAsk, n: 2}, {kind: opDispatch, n: 0}}},
	{"more events than asked for", []op{{kind: opSubscribe}, {kind: opAsk, n: 2}, {kind: opDispatch, n: 9}, {kind: opAsk, n: 4}, {kind: opFlush}, {kind: opDispatch, n: 1}}},
	{"fewer events than asked for", []op{{kind: opSubscribe}, {kind: opAsk, n: 9}, {kind: opDispatch, n: 2}, {kind: opDispatch, n: 2}, {kind: opDispatch, n: 9}}},
	{"asks add up", []op{{kind: opSubscribe}, {kind: opAsk, n: 2}, {kind: opAsk, n: 3}, {kind: opDispatch, n: 4}, {kind: opDispatch, n: 4}}},
	{"several subscribers", []op{
		{kind: opSubscribe},
		{kind: opSubscribe},
		{kind: opSubscribe},
		{kind: opAsk, who: 0, n: 2},
		{kind: opAsk, who: 1, n: 5},
		{kind: opAsk, who: 2, n: 3},
		{kind: opDispatch, n: 4},
		{kind: opDispatch, n: 8},
		{kind: opAsk, who: 0, n: 4},
		{kind: opFlush},
		{kind: opDispatch, n: 5},
	}},
	{"the demand of one that leaves is void", []op{
		{kind: opSubscribe},
		{kind: opSubscribe},
		{kind: opAsk, who: 0, n: 9},
		{kind: opAsk, who: 1, n: 2},
		{kind: opCancel, who: 0},
		{kind: opDispatch, n: 6},
		{kind: opAsk, who: 0, n: 5},
		{kind: opFlush},
		{kind: opDispatch, n: 3},
	}},
	{"one that has no demand leaves", []op{
		{kind: opSubscribe}, {kind: opSubscribe}, {kind: opAsk, who: 0, n: 9}, {kind: opCancel, who: 1}, {kind: opFlush}, {kind: opDispatch, n: 6},
	}},
	{"the last one leaves, others come", []op{
		{kind: opSubscribe},
		{kind: opAsk, n: 4},
		{kind: opDispatch, n: 2},
		{kind: opCancel},
		{kind: opDispatch, n: 3},
		{kind: opSubscribe},
		{kind: opDispatch, n: 1},
		{kind: opAsk, n: 9},
		{kind: opFlush},
		{kind: opDispatch, n: 2},
	}},
	{"events come back", []op{
		{kind: opSubscribe},
		{kind: opSubscribe},
		{kind: opAsk, who: 0, n: 6},
		{kind: opDispatch, n: 6},
		{kind: opCancel, who: 0, n: 4},
		{kind: opAsk, who: 0, n: 9},
		{kind: opFlush},
		{kind: opDispatch, n: 9},
		{kind: opCancel, who: 0, n: 9},
		{kind: opDispatch, n: 1},
		{kind: opSubscribe},
		{kind: opAsk, n: 20},
		{kind: opFlush},
		{kind: opDispatch, n: 20},
	}},
	{"no end of demand", []op{
		{kind: opSubscribe},
		{kind: opAsk, n: math.MaxInt64},
		{kind: opAsk, n: 1},
		{kind: opDispatch, n: 9},
		{kind: opAsk, n: math.MaxInt64},
		{kind: opSubscribe},
		{kind: opAsk, who: 1, n: math.MaxInt64},
		{kind: opDispatch, n: 9},
		{kind: opCancel, who: 0},
		{kind: opDispatch, n: 9},
	}},
	{"asks and cancels of strangers", []op{
		{kind: opStray, n: 3},
		{kind: opSubscribe},
		{kind: opStray, n: 3},
		{kind: opAsk, n: 2},
		{kind: opStray, n: 1},
		{kind: opDispatch, n: 5},
		{kind: opCancel},
		{kind: opStray, n: 5},
		{kind: opDispatch, n: 1},
	}},
	{"subscriptions that may be refused", []op{
		{kind: opIntrude, n: 0},
		{kind: opSubscribe},
		{kind: opAsk, n: 5},
		{kind: opIntrude, n: 1},
		{kind: opIntrude, n: 2},
		{kind: opIntrude, n: 3},
		{kind: opIntrude, n: 4},
		{kind: opIntrude, n: 5},
		{kind: opDispatch, n: 3},
		{kind: opSubscribe},
		{kind: opAsk, who: 1, n: 3},
		{kind: opDispatch, n: 9},
	}},
	{"marks", []op{
		{kind: opMark},
		{kind: opSubscribe},
		{kind: opAsk, n: 2},
		{kind: opDispatch, n: 1},
		{kind: opMark},
		{kind: opDispatch, n: 9},
		{kind: opMark},
		{kind: opMark},
		{kind: opAsk, n: 3},
		{kind: opFlush},
		{kind: opDispatch, n: 2},
		{kind: opMark},
		{kind: opAsk, n: 20},
		{kind: opFlush},
		{kind: opCancel},
		{kind: opMark},
	}},
}

// violation is a broken rule.
type violation struct {
	rule string
	text string
	seed string
	log  []string // operations, as they were carried out
}

// Error names the rule, and tells how it came to it.
func (v *violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rule %s is broken: %s\n", v.rule, v.text)
	if v.seed != "" {
		fmt.Fprintf(&b, "%s, ", v.seed)
	}
	b.WriteString("after these operations:\n")
	for i, line := range v.log {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, line)
	}
	return b.String()
}
