package build

import (
	"context"
	"fmt"
)

// Hold says what of a snapshot is in memory at a time.
type Hold string

const (
	// HoldBody is the whole snapshot: its owner takes it at once, when all of it was read. In transit it weighs what it is
	// decoded.
	HoldBody Hold = "body"
	// HoldStream is one part after the other, each of at most [PartBytes] or of one value: the owner takes each before the next
	// one is read. In transit it weighs a part, however large it is.
	HoldStream Hold = "stream"
)

// PartBytes is the most that a part of a streamed snapshot has, decoded, unless a single value is larger.
const PartBytes = 64 << 10

// weight is what a piece weighs before anything of it is known but its listing.
func (b *shared) weight(p *piece) int64 {
	size := int64(1)
	if sizes := p.job.task.Sizes; sizes != nil {
		size = sizes[p.snapshot]
	}
	if b.Options.Hold == HoldStream {
		size = min(size, PartBytes)
	}
	return size
}

// hand returns what gives the owner the parts of a piece; nil if it takes all of it at once. It is called with the context
// of the run, not of a try: how long the owner takes is no fault of the store.
func (b *shared) hand(ctx context.Context, p *piece, conn *connection) func(Result) error {
	if b.Options.Hold != HoldStream {
		return nil
	}
	return func(part Result) error {
		if weight := b.weight(p); conn.weighs != nil && weight < part.Bytes() {
			_ = conn.weighs(part.Bytes()) // ended: the run is over
			defer func() { _ = conn.weighs(weight) }()
		}
		var taken error
		if err := p.job.call(ctx, func(context.Context) error { taken = b.took(p, part); return nil }); err != nil {
			return err
		}
		return taken
	}
}

// took takes a part, on the goroutine of the owner. If that cannot, the shard has failed.
func (b *shared) took(p *piece, part Result) error {
	j := p.job
	if j.err != nil {
		b.Work.Discard(part)
		return errGivenUp
	}
	err := b.ingest(j, func() error { return j.owner.Take(p.snapshot, part) })
	if err != nil {
		j.fail(p, err)
	}
	return err
}

// ingest calls what gives the owner of a shard something, and notes how long that takes and what the shard holds then.
func (b *shared) ingest(j *job, give func() error) error {
	done := b.Meter.ownerBusy()
	err := give()
	done()
	if err == nil {
		b.grown(j, j.owner.Bytes())
	}
	return err
}

// dropParts makes the owner forget what it took of a piece in a try that failed.
func (b *shared) dropParts(ctx context.Context, p *piece) error {
	if b.Options.Hold != HoldStream {
		return nil
	}
	return p.job.call(ctx, func(context.Context) error {
		if p.job.err == nil {
			p.job.owner.Drop(p.snapshot)
		}
		return nil
	})
}

// check fills in the default.
func (h *Hold) check(design string) error {
	if *h == "" {
		*h = HoldBody
	}
	switch {
	case *h != HoldBody && *h != HoldStream:
		return fmt.Errorf("hold %q: want body or stream", *h)
	case *h == HoldStream && design == "aggregator":
		return fmt.Errorf("hold stream: not with design aggregator, in which nothing goes to an owner but whole results")
	}
	return nil
}
