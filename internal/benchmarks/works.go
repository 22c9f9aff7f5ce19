package main

// allWorks returns the works that are measured event by event, in order.
func allWorks() []*work {
	titled := func(id, title string, w *work, reaches ...reach) *work {
		w.id, w.title = id, title
		w.reaches = append(w.reaches, reaches...)
		return w
	}
	with := func(w *work, libraries []contestant) *work {
		w.contestants = append(w.contestants, libraries...)
		return w
	}
	ofBatch := func(share float64) reach { return reach{name: "ours", than: "batch", most: 1 / share} }
	all := []*work{
		titled("W1", "producer → consumer", with(line(0), lineLibraries(0)), ofBatch(0.8), reach{name: "ours", than: "chan", most: 1.0 / 5}),
		titled("W2", "producer → 2 producer-consumers → consumer", with(line(2), lineLibraries(2)), ofBatch(0.8)),
		titled("W3", "producer → 4 consumers, each event to one", with(share(), shareLibraries()), ofBatch(0.8)),
		titled("W4", "broadcast to 4 consumers", with(broadcast(), broadcastLibraries()), ofBatch(0.7)),
		titled("W5", "4 partitions by remainder", with(partition(), partitionLibraries()), ofBatch(0.7)),
		titled("W6", "max demand 1: one event on its way", roundTrip()),
		titled("W7", "consumer supervisor, 20 trivial tasks at once", with(supervise(), taskLibraries())),
		titled("W8", "words of chunks of 64 KiB, in a flow", countWords()),
		titled("W9", "a chain of 100 stages", with(line(98), lineLibraries(98)), ofBatch(0.5)),
	}
	return append(all, curves()...)
}

// others are the works that are not measured event by event, in order.
var others = []string{"W9m", "W10", "W11"}
