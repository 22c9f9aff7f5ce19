package stage

// subscribeConfig is what the options of one subscription came to.
type subscribeConfig struct {
	max, min       int
	lag            int
	label          string
	minSet         bool
	manual         bool
	lagSet         bool
	lagPolicy      LagPolicy
	mode           CancelMode
	allowDuplicate bool
	leaves         bool // of Events: the consumer's normal end is a cancel, as nobody knows it; and it does not wait for a second run
}

// SubscribeOption is an option of SubscribeTo and Subscribe.
type SubscribeOption func(*subscribeConfig)

// DefaultMaxDemand is the max demand of a subscription without [MaxDemand].
const DefaultMaxDemand = 1000

// MaxDemand sets the most events that may be asked and not handled: the subscription's window.
// At least 1; by default 1000. A small window keeps events from being bound to a consumer that is
// busy; a large one costs fewer messages. On a [ConsumerSupervisor] it is the most children.
func MaxDemand(n int) SubscribeOption { return func(c *subscribeConfig) { c.max = n } }

// MinDemand sets how few of the events asked may be left before the consumer asks again, up to
// max. From 0 to max-1; by default max/2, rounded down. max-min is also the most events in one callback. On a
// [ConsumerSupervisor] it means something else and is 0 by default.
func MinDemand(n int) SubscribeOption {
	return func(c *subscribeConfig) { c.min, c.minSet = n, true }
}

// Manual leaves all asking to the consumer's own code, by [Subscription.Ask] and
// [Subscription.Next]: nothing is asked by itself, and events come to the callback in the
// batches in which they were sent. Max and min demand have no meaning then. A consumer supervisor
// asks by itself and refuses it.
func Manual() SubscribeOption { return func(c *subscribeConfig) { c.manual = true } }

// Cancel sets what the end of the subscription means for the consumer; by default
// [CancelPermanent].
func Cancel(mode CancelMode) SubscribeOption { return func(c *subscribeConfig) { c.mode = mode } }

// Label gives the subscription a text of the user's, shown in Stats and by
// [Subscription.Label]; "" by default.
func Label(label string) SubscribeOption { return func(c *subscribeConfig) { c.label = label } }

// AllowDuplicate lets a consumer subscribe more than once to the same producer. Each
// subscription then has its own demand.
func AllowDuplicate() SubscribeOption {
	return func(c *subscribeConfig) { c.allowDuplicate = true }
}

// CancelMode says what the end of a subscription means for the consumer.
type CancelMode uint8

const (
	// CancelPermanent ends the consumer when the subscription is cancelled or its producer ends,
	// with that reason. When the producer completes, the consumer completes once all its
	// permanent subscriptions have.
	CancelPermanent CancelMode = iota
	// CancelTransient ends the consumer only when the producer failed.
	CancelTransient
	// CancelTemporary never ends the consumer.
	CancelTemporary
)

// LagPolicy says what becomes of a subscriber that is too slow for its [Lag].
type LagPolicy uint8

const (
	// LagDropOldest drops its oldest events; Stats counts them.
	LagDropOldest LagPolicy = iota
	// LagDisconnect ends the subscription with [ErrLagging].
	LagDisconnect
)

// Lag has a [Broadcast] not wait for this subscriber: up to n events are kept
// for it beyond its demand, and when there are more, the policy says what
// happens. n is at least 1. Without Lag everyone waits for the slowest. Other
// dispatchers refuse the subscription.
func Lag(n int, policy LagPolicy) SubscribeOption {
	return func(c *subscribeConfig) { c.lag, c.lagSet, c.lagPolicy = n, true, policy }
}
