// Package verify builds every shard once more, in the plainest way there is, and compares. It shares no code with what
// decodes, compresses and merges: it reads whole snapshots into maps.
package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// MaxPerShard is how many differences of one shard are listed; of more only the number is told.
const MaxPerShard = 20

// Result is what [Verify] found.
type Result struct {
	Shards, Snapshots, Records int64    // that were compared
	Differences                []string // one line each, in order of shards; none: all is well
	Notes                      []string // what is no difference but may surprise
}

// history is a shard: per key and snapshot the objects in line order.
type history map[string]map[string][]string

// Verify compares the shard files in out with the snapshots in st: that each shard which has snapshots has a file, that the
// manifest names them with their size, checksum and number of records, that every record is there with its bytes, in order,
// and no other. Snapshots and shards that are gone from the store are notes. It blocks on reading everything, and holds one
// shard, decompressed. The error is for what keeps it from comparing at all; ctx's, for one.
func Verify(ctx context.Context, st store.Store, out shardfile.FS) (Result, error) {
	var res Result
	shards, err := st.Shards(ctx)
	if err != nil {
		return res, err
	}
	files, err := shardfile.Shards(out)
	if err != nil {
		return res, err
	}
	for _, shard := range shards {
		c := comparison{shard: shard, res: &res}
		c.run(ctx, st, out)
		if err := ctx.Err(); err != nil {
			return res, err
		}
		c.close()
	}
	for _, shard := range files {
		if _, ok := slices.BinarySearch(shards, shard); !ok {
			res.Notes = append(res.Notes, fmt.Sprintf("shard %q is gone from the store, its file stays", shard))
		}
	}
	return res, nil
}

type comparison struct {
	shard string
	res   *Result
	found int // differences
}

func (c *comparison) differ(format string, args ...any) {
	if c.found++; c.found <= MaxPerShard {
		c.res.Differences = append(c.res.Differences, fmt.Sprintf("shard %q: ", c.shard)+fmt.Sprintf(format, args...))
	}
}

func (c *comparison) close() {
	if more := c.found - MaxPerShard; more > 0 {
		c.res.Differences = append(c.res.Differences, fmt.Sprintf("shard %q: and %d more", c.shard, more))
	}
}

func (c *comparison) run(ctx context.Context, st store.Store, out shardfile.FS) {
	snaps, err := st.Snapshots(ctx, c.shard)
	if err != nil {
		c.differ("cannot be listed: %v", err)
		return
	}
	r, err := shardfile.Open(out, c.shard)
	if errors.Is(err, fs.ErrNotExist) {
		if len(snaps) > 0 {
			c.differ("has no shard file")
		}
		return
	}
	if err != nil {
		c.differ("%v", err)
		return
	}
	defer r.Close()
	c.res.Shards++

	want := history{}
	listed := make(map[string]bool)
	for _, snap := range snaps {
		listed[snap.Name] = true
		if !c.snapshot(ctx, st, snap, r.Manifest(), want) {
			return
		}
	}
	for _, s := range r.Manifest().Snapshots {
		if !listed[s.Name] {
			c.res.Notes = append(c.res.Notes, fmt.Sprintf("shard %q: snapshot %q is gone from the store, it stays in the shard", c.shard, s.Name))
		}
	}
	c.records(ctx, r, want, listed)
}

// snapshot adds a snapshot to want and compares its entry of the manifest. It returns whether it could be read.
func (c *comparison) snapshot(ctx context.Context, st store.Store, snap store.Snapshot, m *shardfile.Manifest, want history) bool {
	stored, lines, err := read(ctx, st, c.shard, snap)
	if err != nil {
		c.differ("snapshot %q cannot be read: %v", snap.Name, err)
		return false
	}
	for _, line := range lines {
		var fields map[string]json.RawMessage
		var key *string
		if json.Unmarshal([]byte(line), &fields) == nil {
			_ = json.Unmarshal(fields["key"], &key) // key stays nil
		}
		if key == nil {
			c.differ("snapshot %q: a line is no object with a key: %.60q", snap.Name, line)
			return false
		}
		if want[*key] == nil {
			want[*key] = make(map[string][]string)
		}
		want[*key][snap.Name] = append(want[*key][snap.Name], line)
	}
	c.res.Snapshots++
	is, ok := m.Find(snap.Name)
	if !ok {
		c.differ("snapshot %q is not in the shard file", snap.Name)
		return true
	}
	sum := store.NewChecksum()
	sum.Write(stored)
	if checksum := store.Checksum(sum.Sum64()); is.Size != int64(len(stored)) || is.Checksum != checksum || is.Records != int64(len(lines)) {
		c.differ("snapshot %q: the manifest has %d bytes, %s, %d records; the store %d bytes, %s, %d records",
			snap.Name, is.Size, is.Checksum, is.Records, len(stored), checksum, len(lines))
	}
	return true
}

// read returns a snapshot's stored bytes, and its lines without white space around them and empty ones.
func read(ctx context.Context, st store.Store, shard string, snap store.Snapshot) (stored []byte, lines []string, err error) {
	body, err := st.Open(ctx, shard, snap, 0)
	if err != nil {
		return nil, nil, err
	}
	defer body.Close()
	if stored, err = io.ReadAll(body); err != nil {
		return nil, nil, err
	}
	text := stored
	if snap.Gzip {
		zip, err := gzip.NewReader(bytes.NewReader(stored))
		if err != nil {
			return nil, nil, err
		}
		if text, err = io.ReadAll(zip); err != nil {
			return nil, nil, err
		}
	}
	for line := range bytes.Lines(text) {
		if line = bytes.Trim(line, " \t\r\n"); len(line) > 0 {
			lines = append(lines, string(line))
		}
	}
	return stored, lines, nil
}

// records takes every record of the file out of want; what remains is missing.
func (c *comparison) records(ctx context.Context, r *shardfile.Reader, want history, listed map[string]bool) {
	for rec, err := range r.All() {
		if err != nil {
			c.differ("%v", err)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if !listed[rec.Snapshot] {
			continue
		}
		c.res.Records++
		objects := want[rec.Key][rec.Snapshot]
		if len(objects) == 0 {
			c.differ("key %q, snapshot %q: is in the shard file but not in the store", rec.Key, rec.Snapshot)
			continue
		}
		if objects[0] != string(rec.Value) {
			c.differ("key %q, snapshot %q: the shard file has %.80q, the store %.80q", rec.Key, rec.Snapshot, rec.Value, objects[0])
		}
		want[rec.Key][rec.Snapshot] = objects[1:]
	}
	var missing []string
	for key, snaps := range want {
		for snap, objects := range snaps {
			if len(objects) > 0 {
				missing = append(missing, fmt.Sprintf("key %q, snapshot %q: %d records are not in the shard file", key, snap, len(objects)))
			}
		}
	}
	slices.Sort(missing)
	for _, line := range missing {
		c.differ("%s", line)
	}
}
