package build

import (
	"bytes"
	"context"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// CompressBy says who compresses the values of a snapshot, one by one.
type CompressBy string

const (
	// ByWorker is who fetched it, in its slot: so many at a time as there are slots.
	ByWorker CompressBy = "worker"
	// ByOwner is the owner of the shard, when it takes them: one after the other.
	ByOwner CompressBy = "owner"
)

// fetched is the result of a snapshot, or a part of it: values that are compressed, or are to be.
type fetched struct {
	stats  store.Stats // of a whole snapshot, so with the last part only
	values []shardfile.Value
	plain  []plainValue // ByOwner
	raw    int64        // bytes of all values before compression
}

// plainValue is one that the owner is to compress.
type plainValue struct {
	key    string
	object []byte
}

// Bytes returns the size of the values before they were compressed.
func (r *fetched) Bytes() int64 { return r.raw }

// add adds a record.
func (r *fetched) add(rec store.Record, by CompressBy) {
	if by == ByOwner {
		r.plain = append(r.plain, plainValue{rec.Key, bytes.Clone(rec.Value)})
	} else {
		r.values = append(r.values, shardfile.Compress(rec.Key, rec.Value))
	}
	r.raw += int64(len(rec.Value))
}

// part is what an owner has of a snapshot.
type part struct {
	intake      *shardfile.Intake
	raw, stored int64
}

// add takes values, and compresses those that are not.
func (p *part) add(r *fetched) error {
	if err := p.intake.Add(r.values...); err != nil {
		return err
	}
	for _, v := range r.values {
		p.stored += int64(len(v.Data))
	}
	for _, plain := range r.plain {
		v := shardfile.Compress(plain.key, plain.object)
		if err := p.intake.Add(v); err != nil {
			return err
		}
		p.stored += int64(len(v.Data))
	}
	p.raw += r.raw
	return nil
}

// fileOwner owns the builder of one shard.
type fileOwner struct {
	files   *Files
	task    *Task
	builder *shardfile.Builder
	parts   map[int]*part // of snapshots that are not whole yet
}

// Take adds a part of a snapshot.
func (o *fileOwner) Take(i int, result Result) error {
	r := result.(*fetched)
	defer o.files.Meter.Transit(-r.raw)
	p := o.parts[i]
	if p == nil {
		intake, err := o.builder.Begin(o.task.Snapshots[i])
		if err != nil {
			return err
		}
		p = &part{intake: intake}
		o.parts[i] = p
	}
	return p.add(r)
}

// Drop forgets the parts of a snapshot.
func (o *fileOwner) Drop(i int) {
	if p := o.parts[i]; p != nil {
		p.intake.Drop()
		delete(o.parts, i)
	}
}

// Ingest adds the last part, or all, of a snapshot.
func (o *fileOwner) Ingest(i int, result Result) error {
	r := result.(*fetched)
	if err := o.Take(i, r); err != nil {
		o.Drop(i)
		return err
	}
	p := o.parts[i]
	delete(o.parts, i)
	if err := p.intake.Done(r.stats.Size, r.stats.Checksum); err != nil {
		return err
	}
	d := o.task.Detail.(detail)
	d.tags.learn(d.decision.Missing[i], r.stats.Checksum)
	o.files.Meter.Values(p.raw, p.stored)
	return nil
}

func (o *fileOwner) Bytes() int64 { return o.builder.IndexBytes() }

func (o *fileOwner) Persist(ctx context.Context) error {
	_, err := o.builder.Persist(ctx)
	if err == nil {
		o.task.Detail.(detail).tags.keep()
	}
	return err
}

func (o *fileOwner) Abandon() error { return o.builder.Abandon() }

// Discard takes a result, or a part of one, that nobody will ingest.
func (f *Files) Discard(result Result) {
	if r, ok := result.(*fetched); ok {
		f.Meter.Transit(-r.raw)
	}
}
