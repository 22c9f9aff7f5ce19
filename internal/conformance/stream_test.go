package conformance

import (
	"context"
	"errors"

	"github.com/go-genstage/genstage/stage"
)

// doStream ranges over the events of one or more stages.
func (w *world) doStream(s step) any {
	reader := &actor{w: w, name: "stream"} // who subscribes
	for _, from := range s.From {
		if from.Stage == "nobody" {
			w.saysByType("a source that nobody is")
			if from.Opts["cancel"] == "temporary" {
				return streamed(events{})
			}
			return stray("exit", "noproc@init_stream")
		}
		w.connect(from.ID, from.Stage, from.Opts, reader)
		w.forwardWhenIdle(w.actors[from.Stage])
	}
	src, opts, stop, err := w.streamSource(reader, s.From)
	if err != nil {
		return stray("error", "bad_opts")
	}
	defer stop()
	taken := events{}
	if s.Take != nil && *s.Take == 0 {
		return streamed(taken)
	}
	for e, err := range stage.Events(w.ctx, src, opts...) {
		switch {
		case errors.Is(err, stage.ErrInvalidOption):
			return stray("error", "bad_opts")
		case err != nil:
			return stray("exit", reasonOf(err)+"@close_stream")
		}
		if taken = append(taken, e); s.Take != nil && len(taken) == *s.Take {
			break
		}
	}
	return streamed(taken)
}

func streamed(taken events) any { return stray("taken", taken) }

// stray is a result with what it leaves in the caller's mailbox: nothing, as there is none.
func stray(key string, value any) any { return map[string]any{key: value, "mailbox_left": 0} }

// forwardWhenIdle has a stage forward when the stream has subscribed, as GenStage's streams do.
func (w *world) forwardWhenIdle(a *actor) {
	if a == nil || a.modes == nil || a.modes.forwarding() {
		return
	}
	go func() { // ends when the world is idle
		w.pause()
		_ = a.modes.forward() // void when the stage has ended
	}()
}

// streamSource is what a stream ranges over: the stage, or a producer-consumer that merges several.
func (w *world) streamSource(reader *actor, from []streamFrom) (src stage.Source[event], opts []stage.SubscribeOption, stop func(), err error) {
	if len(from) == 1 {
		src, err = w.sourceFor(from[0].Stage, from[0].Opts)
		return src, reader.options(from[0].ID, from[0].Opts), func() {}, err
	}
	p := stage.NewProducerConsumer(func(_ context.Context, batch []event, _ *stage.Subscription) ([]event, error) {
		return batch, nil
	}, stage.Name("stream"), quiet)
	for _, f := range from {
		src, err := w.sourceFor(f.Stage, f.Opts)
		if err != nil {
			return nil, nil, nil, err
		}
		p.SubscribeTo(src, reader.options(f.ID, f.Opts)...)
	}
	over := make(chan struct{})
	go func() { // ends when the stream does: stop aborts it and waits
		defer close(over)
		_ = p.Run(w.ctx)
	}()
	w.pause()
	return p, []stage.SubscribeOption{stage.MaxDemand(1), stage.MinDemand(0)}, func() { p.Abort(nil); <-over }, nil
}
