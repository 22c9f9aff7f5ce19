package stage

// What the tests of package stage_test need of the inside.

// Stray posts a message about a subscription, of one of the kinds that a consumer sends, to the run that serves another
// one of the same producer: it may have heard of its end, or be a later run, which has never heard of it. (What lives
// at another producer is not ours to look into.) false: nothing was posted, or that run takes no message any more.
func Stray(to, about *Subscription, k int, n int64, reason error) bool {
	up := to.up.Load()
	if up == nil || about.producer != to.producer {
		return false
	}
	kinds := []kind{msgAsk, msgCancel, msgBegunAll}
	return (*up).postUp(kinds[k%len(kinds)], about, n, reason)
}

// Belated posts to the consumer of a subscription that has ended, as the consumer knows, what a producer might still say.
func Belated(about *Subscription, k int, reason error) bool {
	e, ok := about.typed.(*edge[int])
	if !ok || !about.over.Load() {
		return false
	}
	m := message[int]{kind: []kind{msgAccepted, msgThatIsAll, msgComplete, msgCancelled, msgRefused, msgProducerDown}[k%6], sub: about, arg: reason}
	if m.kind == msgProducerDown {
		m.arg = &ending{reason: reason}
	}
	return e.inbox.Post(m)
}
