package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

// trace collects the messages that cross. Stages run at the same time, so messages that don't
// depend on each other are sent now in one order, now in another. What is printed is the order in
// which they depend on each other: it is the same in every run.
type trace struct {
	mu   sync.Mutex
	sent []stage.Message // guarded by mu: in the order of sending
}

// add is called by the stages, on the goroutine that sends, just before the message is sent.
func (t *trace) add(m stage.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = append(t.sent, m)
}

// lines returns the messages in words: first what connects the stages, link by link, then the
// rest, each as soon as those before it on the same link, and those that its sender sent before
// it, have been printed. Where that leaves a choice, what is nearest to the source comes first.
func (t *trace) lines() []string {
	t.mu.Lock()
	left := slices.Clone(t.sent)
	t.mu.Unlock()

	start := slices.IndexFunc(left, func(m stage.Message) bool { return m.Kind == stage.MessageEvents })
	if start < 0 {
		start = len(left)
	}
	slices.SortStableFunc(left[:start], func(m, n stage.Message) int { return strings.Compare(link(m), link(n)) })

	var lines []string
	for i := 0; len(left) > 0; {
		if i = 0; len(lines) >= start {
			i = next(left)
		}
		lines = append(lines, words(left[i]))
		left = slices.Delete(left, i, i+1)
	}
	return lines
}

// next returns the place of the message to be printed next.
func next(left []stage.Message) int {
	best := 0 // the first one waits for none
	for i, m := range left {
		waits := slices.ContainsFunc(left[:i], func(n stage.Message) bool { return n.From == m.From || link(n) == link(m) })
		if !waits && link(m) < link(left[best]) {
			best = i
		}
	}
	return best
}

// link names the two stages, the producer first: here stages are named in the order of the pipeline.
func link(m stage.Message) string { return m.Sub.Producer() + m.Sub.Consumer() }

// words says a message in words.
func words(m stage.Message) string {
	switch m.Kind {
	case stage.MessageSubscribe:
		return fmt.Sprintf("%s subscribes to %s", m.From, m.To)
	case stage.MessageAccepted:
		return fmt.Sprintf("%s accepts %s", m.From, m.To)
	case stage.MessageRefused:
		return fmt.Sprintf("%s refuses %s: %v", m.From, m.To, m.Reason)
	case stage.MessageAsk:
		return fmt.Sprintf("%s asks %s %d", m.From, m.To, m.N)
	case stage.MessageEvents:
		return fmt.Sprintf("%s sends %s %s", m.From, m.To, events(m.Events))
	case stage.MessageThatIsAll:
		return fmt.Sprintf("%s tells %s: that is all", m.From, m.To)
	case stage.MessageBegunAll:
		return fmt.Sprintf("%s tells %s: begun all %d", m.From, m.To, m.N)
	case stage.MessageComplete:
		return fmt.Sprintf("%s completes %s", m.From, m.To)
	case stage.MessageCancel:
		return fmt.Sprintf("%s cancels at %s: %v", m.From, m.To, m.Reason)
	case stage.MessageCancelled:
		return fmt.Sprintf("%s confirms to %s: cancelled", m.From, m.To)
	case stage.MessageHandBack:
		return fmt.Sprintf("%s hands %s back %d", m.From, m.To, m.N)
	case stage.MessageConsumerDown:
		return fmt.Sprintf("%s ends and hands %s back %d: %v", m.From, m.To, m.N, m.Reason)
	case stage.MessageProducerDown:
		return fmt.Sprintf("%s ends and tells %s: %v", m.From, m.To, m.Reason)
	default:
		return fmt.Sprintf("%s to %s: %v", m.From, m.To, m.Kind)
	}
}

// events writes numbers that follow each other as [0..9].
func events(batch any) string {
	n, ok := batch.([]int)
	if !ok || len(n) < 3 {
		return fmt.Sprint(batch)
	}
	for i := range n {
		if n[i] != n[0]+i {
			return fmt.Sprint(batch)
		}
	}
	return fmt.Sprintf("[%d..%d]", n[0], n[len(n)-1])
}
